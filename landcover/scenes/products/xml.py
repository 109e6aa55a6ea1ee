"""Metadata of products, XML from outside: no entities, no document types, nothing fetched."""

import math
from typing import Any

from landcover.errors import InputError


def root_of(text: bytes, name: str) -> Any:
    """Return the root element.

    Raises:
        InputError: it is no XML, or declares a document type or entities.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        return fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise InputError(
            f"{name} declares entities or a document type, no product does that"
        ) from error
    except (ParseError, ValueError) as error:
        raise InputError(f"{name} is no XML that can be read, it may be damaged") from error


def text_in(root: Any, tag: str) -> str:
    """Return the text of the first element of this name, "" if there is none."""
    return next(((element.text or "").strip() for element in root.iter(tag)), "")


def numbers_in(root: Any, tag: str) -> list[tuple[dict[str, str], float]]:
    """Return attributes and number of all elements of this name whose text is a finite number."""
    found = []
    for element in root.iter(tag):
        try:
            number = float(element.text or "")
        except ValueError:
            continue
        if math.isfinite(number):
            found.append((dict(element.attrib), number))
    return found
