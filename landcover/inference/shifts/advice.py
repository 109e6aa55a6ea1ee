"""Sentences that say what a scene's values are like, and what can be done."""

from collections.abc import Sequence

from landcover.inference.shifts.changes import Candidate

ON_INVERTED = (
    "bright and dark seem exchanged in all bands, as in a negative: take the scene as it was "
    "delivered"
)


def on_turned(names: Sequence[str]) -> str:
    """Say in which bands bright and dark seem exchanged."""
    return (
        f"the scene fits better with bright and dark exchanged in {', '.join(names)}, which may "
        "be inverted or of another place or date: take the scene as it was delivered, or train a "
        "model on it"
    )


def on_shift(name: str) -> str:
    """Say what corrects a scene."""
    return (
        f"the scene fits what the model learned after {name}: take it in the same unit and "
        "processing, or set radiometry to harmonise"
    )


def on_equal(one: Candidate, other: Candidate) -> str:
    """Say that two changes fit alike."""
    rival = other.name if other.name != one.name else "other numbers of that kind"
    return (
        f"the scene fits better after {one.name}, but nearly as well after {rival}, and the "
        "maps would differ: which of them is right cannot be told, so nothing is corrected; take "
        "the scene in the unit and processing of the training scene"
    )


def on_little(one: Candidate) -> str:
    """Say that a change may be noise."""
    return (
        "the scene does not fit as well as land of the model's scene does: it fits better after "
        f"{one.name}, but so little that noise in its bands may be the reason, and nothing is "
        "corrected; take the scene in the unit and processing of the training scene"
    )


def on_ends(one: Candidate, cut: str) -> str:
    """Say that values that are cut off leave a change unsure."""
    return (
        f"the scene fits better after {one.name}, but {cut}, so that what happened to it cannot "
        "be told well enough to be corrected; take the scene in the unit and processing of the "
        "training scene"
    )


def on_rounding(one: Candidate) -> str:
    """Say that values are too coarse to be corrected."""
    return (
        f"the scene fits what the model learned after {one.name}, but its values are so coarse "
        "that rounding took away what tells classes apart, and a corrected map would be weaker: "
        "take the scene in the unit and processing of the training scene, or train a model on it"
    )


def on_halves(one: Candidate) -> str:
    """Say that halves of a scene differ."""
    return (
        f"the scene fits better after {one.name}, but its halves ask for corrections that give "
        "other maps, as another mixture of classes would: which is right cannot be told, so "
        "nothing is corrected; take the scene in the unit and processing of the training scene"
    )


def on_part(where: str, name: str) -> str:
    """Say which part of a scene was changed, and how."""
    return (
        f"the scene seems put together of parts: {where} fits what the model learned after "
        f"{name}, the rest does not: bring its parts to one unit and processing first"
    )


def on_unknown_part(where: str) -> str:
    """Say which part of a scene is unlike all that the model knows."""
    return (
        f"{where} differs from the rest of the scene and resembles nothing that the model's scene "
        "held there, such as cloud or another processing: hide it with a mask, or take another "
        "scene"
    )
