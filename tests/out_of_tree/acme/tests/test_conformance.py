from nanoplug.conformance import AttentionLaws


class TestAcme(AttentionLaws):
    backend = "acme"
