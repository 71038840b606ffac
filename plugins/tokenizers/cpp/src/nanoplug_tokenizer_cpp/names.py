"""Names of the C++ standard library with fixed ids, in the order of their ids."""

# ruff: noqa: SIM905 (a list of words is read and changed more easily as text)

from __future__ import annotations

LIBRARY_NAMES = tuple(
    """std iostream istream ostream cout cin cerr clog endl string wstring string_view stringstream to_string getline
    vector deque list map set multimap multiset unordered_map unordered_set unordered_multimap unordered_multiset array
    tuple pair queue stack priority_queue forward_list bitset span mdspan optional variant any expected function bind
    ref cref reference_wrapper hash less greater unique_ptr shared_ptr weak_ptr make_unique make_shared allocator
    move forward swap exchange declval begin end cbegin cend rbegin rend size empty data front back push_back pop_back
    emplace_back emplace push pop insert erase clear resize reserve capacity find count contains at first second
    iterator const_iterator reverse_iterator value_type sort stable_sort copy fill transform accumulate for_each find_if
    lower_bound upper_bound min max clamp abs sqrt pow floor ceil numeric_limits initializer_list integral_constant
    enable_if enable_if_t is_same is_same_v decay decay_t conditional conditional_t remove_reference void_t true_type
    false_type exception runtime_error logic_error invalid_argument out_of_range what thread mutex lock_guard
    unique_lock condition_variable atomic future promise async chrono uint8_t uint16_t uint32_t uint64_t int8_t int16_t
    int32_t int64_t ptrdiff_t intptr_t uintptr_t byte""".split()
)
