"""Personal data: checksums, what each pattern takes and what it leaves."""

import pytest

from prospero.data.personal import find_personal, iban, kinds_of, luhn


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "5500005555555559", "378282246310005", "79927398713"])
def test_numbers_whose_checksum_adds_up_and_their_neighbours(number):
    assert luhn(number)
    last = int(number[-1])
    assert not any(luhn(number[:-1] + str((last + more) % 10)) for more in range(1, 10))


@pytest.mark.parametrize("number", ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO9386011117947"])
def test_accounts(number):
    assert iban(number)
    assert not iban(number[:-1]) and not iban(number + "0")
    assert not iban(number[:-1] + ("1" if number[-1] != "1" else "2")) and not iban("XX" + number[2:])


FOUND = [
    ("write to jane.doe+x@mail.example.org.", "email", "jane.doe+x@mail.example.org"),
    ("IBAN: DE89 3704 0044 0532 0130 00, please", "iban", "DE89 3704 0044 0532 0130 00"),
    ("card 4111-1111-1111-1111!", "credit_card", None),  # an example of the kind that repeats one digit
    ("card 5500-0055-5555-5559!", "credit_card", None),
    ("card 4539 1488 0343 6467.", "credit_card", "4539 1488 0343 6467"),
    ("amex 378282246310005", "credit_card", "378282246310005"),
    ("server 8.8.8.8 answers", "ip_address", "8.8.8.8"),
    ("server 2001:4860:4860:0:0:0:0:8888 answers", "ip_address", "2001:4860:4860:0:0:0:0:8888"),
    ("call +49 30 901820-0 or so", "phone", None),
    ("call +49 30 9018200 now", "phone", "+49 30 9018200"),
    ("call (415) 555-2671", "phone", "(415) 555-2671"),
    ("key AKIAIOSFODNN7EXAMPLE", "secret_key", "AKIAIOSFODNN7EXAMPLE"),
    ("-----BEGIN RSA PRIVATE KEY-----", "secret_key", "-----BEGIN RSA PRIVATE KEY-----"),
]


@pytest.mark.parametrize(("text", "kind", "expected"), FOUND, ids=[text for text, _, _ in FOUND])
def test_what_is_found(text, kind, expected):
    found = find_personal(text)
    assert [(one.kind, one.text) for one in found] == ([] if expected is None else [(kind, expected)])


@pytest.mark.parametrize(
    "text",
    [
        "card 4539 1488 0343 6468 does not add up",
        "DE89 3704 0044 0532 0130 01 does not either",
        "version 1.2.3.4.5, localhost 127.0.0.1, and 192.168.0.1 at home, not 300.1.2.3",
        "3.14159265358979323846 and 20240229123456 and 0x7fffffff",
        "@decorator\ndef f(a: int) -> str: return a@b",
        "tel 12345678 without a sign",
        "hash d41d8cd98f00b204e9800998ecf8427e",
        "",
    ],
)
def test_what_is_left(text):
    assert find_personal(text) == []


def test_one_place_is_counted_once_and_in_order():
    found = find_personal("b@c.org, +49 30 9018200, a@b.org")
    assert [one.text for one in found] == ["b@c.org", "+49 30 9018200", "a@b.org"]
    counts = kinds_of(iter(found))
    assert counts["email"] == 2 and counts["phone"] == 1 and sum(counts.values()) == 3
