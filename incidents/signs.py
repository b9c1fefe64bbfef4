"""Signs that say nothing to an eye: controls, directions, zero widths, letters without ink.

Pure; asked by everything that shows a stranger's text, to a person or to a model.
"""

import re
import unicodedata

# Letters and marks by their category, and yet nothing is seen of them.
INKLESS = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810))
)
SELECTORS = (range(0xFE00, 0xFE0F), range(0xE0100, 0xE01F0))
EMOJI_STYLE = "\ufe0f"  # said after a sign that is drawn in colour; nothing anywhere else
# All but plain text: most texts are only looked through for these.
UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")


def hides(sign: str, before: str = "") -> bool:
    """Return whether nothing is seen of a sign that stands after `before` (a sign, or nothing)."""
    if sign == EMOJI_STYLE:
        return unicodedata.category(before or " ") not in ("So", "Sk", "Po", "Nd", "Sm")
    code, category = ord(sign), unicodedata.category(sign)
    # C*: controls, format signs, surrogates, private and unassigned; Zl, Zp: other line ends.
    return (
        category[0] == "C"
        or category in ("Zl", "Zp")
        or code in INKLESS
        or any(code in selectors for selectors in SELECTORS)
    )
