"""Names of inputs, outputs and operations as a person would write them."""


def title_of(name: str) -> str:
    """Return the name of an input, an output or an operation as a person would write it."""
    return name.replace("_", " ").replace("-", " ").capitalize()
