"""images/Dockerfile as its stages, and the versions that constraints.txt pins."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
DOCKERFILE = IMAGES / "Dockerfile"
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
_FROM = re.compile(r"(\S+) AS (\S+)", re.IGNORECASE)


@dataclass
class Stage:
    """A part of the recipe that begins with FROM."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def said(self, word):
        """Return what follows each instruction of this word."""
        return [rest for first, rest in self.instructions if first == word]


def instructions(text):
    """Return the (WORD, rest) of a Dockerfile; comments left out, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest) for word, rest in pairs]


def stages(text):
    """Return the stages of a Dockerfile by their names."""
    found = {}
    for word, rest in instructions(text):
        if word == "FROM":
            parent, name = _FROM.fullmatch(rest).groups()
            found[name] = latest = Stage(name, parent)
        elif found:
            latest.instructions.append((word, rest))
    return found


def normal(package):
    """Return a package's name as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", package).lower()


PINS = {
    normal(package): version
    for package, pin, version in (line.partition("==") for line in CONSTRAINTS.splitlines())
    if pin
}
