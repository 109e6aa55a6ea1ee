"""The base of everything that an administrator writes by hand: frozen, and no unknown keys."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from portal.errors import SettingsError


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretFile(Strict):
    """A secret that lies in a file of its own."""

    file: Path

    def read(self) -> str:
        """Return the secret.

        Raises:
            SettingsError: the file cannot be read, or is empty.
        """
        try:
            secret = self.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the secret in {self.file} cannot be read: {error}.") from error
        return _not_empty(secret, self.file)


class SecretVariable(Strict):
    """A secret that stands in an environment variable of the hub."""

    env: str

    def read(self) -> str:
        """Return the secret.

        Raises:
            SettingsError: the variable is not set, or is empty.
        """
        if self.env not in os.environ:
            raise SettingsError(f"the secret in {self.env} is needed, and it is not set.")
        return _not_empty(os.environ[self.env].strip(), self.env)


def _not_empty(secret: str, where: object) -> str:
    if not secret:
        raise SettingsError(f"the secret in {where} is empty.")
    return secret


def _kept_elsewhere(secret: Any) -> Any:
    if isinstance(secret, dict | Strict):
        return secret
    # what it is stays unsaid: it may be the secret
    raise ValueError("a secret does not stand here, needs {file: PATH} or {env: NAME}")


Secret = Annotated[SecretFile | SecretVariable, BeforeValidator(_kept_elsewhere)]
