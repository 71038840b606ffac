from __future__ import annotations

import pytest

from nanoplug.corpus.secret_filter import find_secrets

# Put together here, so that no scanner takes them for real ones.
GITHUB = "ghp" + "_" + "a1B2" * 9
AWS = "AKIA" + "IOSFODNN7" + "EXAMPL1"
KEY = "-----BEGIN RSA " + "PRIVATE KEY-----"


@pytest.mark.parametrize(("secret", "kind"), [(GITHUB, "GitHub Token"), (AWS, "AWS Access Key"), (KEY, "Private Key")])
def test_found_where_it_is(secret: str, kind: str) -> None:
    before = '// größer\nconst char* key = "'.encode()
    data = before + secret.encode() + b'";\n'
    found = [each for each in find_secrets(data) if each.kind == kind]
    assert found
    assert all(each.start >= len(before) - 1 and each.end <= len(before) + len(secret) + 1 for each in found)


@pytest.mark.parametrize(
    "code",
    [
        "static const uint32_t kTable[] = {0x00000000, 0xf26b8303, 0xe13b70f7};",
        'EXPECT_EQ(Md5(""), "d41d8cd98f00b204e9800998ecf8427e");',
        'bool Login(const std::string& password, const char* api_key = "");',
        "APFloatBase APIntegerToString(APDisplayObject object);",
        'std::string address = "192.168.0.1";',
        "struct Iterator { token<key_type> secret_key_token; };",
    ],
)
def test_ordinary_code(code: str) -> None:
    assert find_secrets(code.encode()) == []
