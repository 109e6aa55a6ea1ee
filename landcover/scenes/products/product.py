"""What a product holds, before a pixel is read."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from landcover.errors import InputError
from landcover.scenes.formats.opening import Raster


@dataclass(frozen=True)
class SourceBand:
    """One band: where it lies and what its values mean.

    Attributes:
        name: as its provider calls it.
        member: name of its file in the delivery.
        index: in that file, from 1.
        variable: of a file that holds several rasters; "" else.
        wavelength: centre in nm, None if unknown.
        scale: a quantity is scale * value + offset.
        offset: added after scaling.
        nodata: by the product's metadata; None leaves it to the file.
        optional: read only where `bands` names it.
    """

    name: str
    member: str
    index: int = 1
    variable: str = ""
    wavelength: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    optional: bool = False

    def renamed(self, name: str) -> "SourceBand":
        """Return the same band by another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class QualityBand:
    """What says of each pixel what it shows.

    Attributes:
        kind: SCL (Sentinel-2 L2A), QA_PIXEL (Landsat) or MSK_CLASSI (Sentinel-2 L1C).
        member: name of its file in the delivery.
        index: of its (first) band in that file.
    """

    kind: str
    member: str
    index: int = 1


@dataclass(frozen=True)
class Product:
    """A delivery that was understood.

    Attributes:
        kind: in words, such as Sentinel-2 L2A.
        bands: all that can be read.
        quality: what says where clouds are, if anything does.
        sensor: such as Sentinel-2A MSI; "" if unknown.
        level: of processing, such as L2A; "" if unknown.
        moment: date or time of the measurement, ISO 8601; "" if unknown.
        product_id: the provider's name of it; "" if it has none.
        baseline: of processing, of Sentinel-2.
        rasters: opened files by member and variable, where reading the product needed them.
    """

    kind: str
    bands: tuple[SourceBand, ...]
    quality: QualityBand | None = None
    sensor: str = ""
    level: str = ""
    moment: str = ""
    product_id: str = ""
    baseline: str = ""
    rasters: dict[tuple[str, str], Raster] = field(default_factory=dict)

    @property
    def day(self) -> str:
        """The date, YYYY-MM-DD, "" if unknown."""
        return self.moment[:10]

    def completed(self, moment: str, sensor: str) -> "Product":
        """Return it with what people say of it; what the files say must agree.

        Raises:
            InputError: `moment` is no date, or the files say otherwise.
        """
        told = checked_moment(moment) if moment else ""
        if told and self.moment and told[:10] != self.day:
            raise InputError(f"date is {told}, the files say {self.moment}: leave it out", "date")
        if sensor and self.sensor and sensor != self.sensor:
            raise InputError(
                f"sensor is {sensor}, the files say {self.sensor}: leave it out", "sensor"
            )
        return replace(self, moment=self.moment or told, sensor=self.sensor or sensor.strip())


def checked_moment(text: str) -> str:
    """Return a date or a time of it in UTC, as in 2023-08-01 or 2023-08-01T10:15:59Z.

    Raises:
        InputError: it is neither.
    """
    try:
        if len(text.strip()) == len("2023-08-01"):
            return date.fromisoformat(text.strip()).isoformat()
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"date is {text}, needs one such as 2023-08-01", "date") from error
    moved = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return moved.isoformat(timespec="seconds").replace("+00:00", "Z")
