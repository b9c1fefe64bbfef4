"""Check digits of the numbers that people carry: what tells a card from an order number.

Pure; called by the rules of redaction. A number whose digit does not fit is no such number.
"""

import re

DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
# Italian tax code: what a sign counts at an odd place (Ministry of Finance, decree of 23.12.1976).
ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)
# Who issues cards: how the number begins, and how long it is (ISO/IEC 7812, the networks' lists).
CARDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|62\d{14,17}|(?:5[06-8]|6[37])\d{14}"
)


def luhn(digits: str) -> bool:
    """Return whether a card number's check digit fits (ISO/IEC 7812)."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Return whether an IBAN's check digits fit (ISO 13616: remainder 1 by 97)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def card(digits: str) -> bool:
    """Return whether a network issues such numbers and the check digit fits."""
    return CARDS.fullmatch(digits) is not None and len(set(digits)) > 1 and luhn(digits)


def cpf(digits: str) -> bool:
    """Return whether both check digits of a Brazilian taxpayer number fit."""
    numbers = [int(digit) for digit in digits]
    for length in (9, 10):
        weighted = sum(n * (length + 1 - i) for i, n in enumerate(numbers[:length]))
        if weighted * 10 % 11 % 10 != numbers[length]:
            return False
    return len(set(digits)) > 1


def dni(text: str) -> bool:
    """Return whether the letter of a Spanish identity number fits."""
    digits = text[:-1].translate(str.maketrans("XYZ", "012"))
    return DNI_LETTERS[int(digits) % 23] == text[-1]


def tax_code(text: str) -> bool:
    """Return whether the last letter of an Italian tax code fits."""
    total = sum(
        ODD[sign] if place % 2 == 0 else int(sign, 36) - (0 if sign.isdigit() else 10)
        for place, sign in enumerate(text[:15])
    )
    return chr(65 + total % 26) == text[15]


def personnummer(text: str) -> bool:
    """Return whether a Swedish personal number has a date in it and its check digit fits."""
    digits = re.sub(r"\D", "", text)[-10:]
    month, day = int(digits[2:4]), int(digits[4:6])
    return 1 <= month <= 12 and 1 <= day <= 31 and luhn(digits)
