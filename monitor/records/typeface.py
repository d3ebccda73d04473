"""The typeface of the printed record, and the certainty that every sign of it is printed.

Law: a sign that the typeface lacks is written as its code (``[U+4E2D]``), never as an empty box: a box in a
clinical record hides what was said.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"
FOLDER = Path(__file__).parent / "fonts"
# In the typeface as blanks that change what stands beside them; shown by their code instead.
_HIDDEN = (
    frozenset(range(0x200B, 0x2010)) | frozenset(range(0x202A, 0x202F)) | frozenset(range(0x2066, 0x206A))
)


class NoTypeface(RuntimeError):
    """The fonts were not put in place when the package was built."""


@cache
def signs() -> frozenset[int]:
    """Register the fonts and return the code points that both weights can print.

    Raises:
        NoTypeface: a font file is missing or broken; the text says what to do.
    """
    found = []
    for name in (REGULAR, BOLD):
        try:
            font = TTFont(name, str(FOLDER / f"{name}.ttf"))
        except (TTFError, OSError) as fault:
            remedy = "build again with npm in reach (pip install .), without AFTERWATCH_NO_VENDOR"
            raise NoTypeface(f"the font {name} is not in {FOLDER.name}/ ({fault}); {remedy}") from fault
        pdfmetrics.registerFont(font)
        found.append(frozenset(font.face.charToGlyph))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset.intersection(*found) - _HIDDEN


def spell(text: str) -> str:
    """Return the text with every sign that cannot be printed written as its code; line ends become spaces."""
    known = signs()
    return "".join(sign if ord(sign) in known else _code(sign) for sign in " ".join(text.split()))


def _code(sign: str) -> str:
    return f"[U+{ord(sign):04X}]"


def fit(text: str, width: float, size: float, *, name: str = REGULAR) -> str:
    """Return the text, shortened with an ellipsis to a width in points; empty when not even that fits."""
    if pdfmetrics.stringWidth(text, name, size) <= width:
        return text
    while text and pdfmetrics.stringWidth(text + "…", name, size) > width:
        text = text[:-1]
    return text + "…" if len(text) > 1 else ""
