"""Small products of providers, true to their form: folders, metadata, images."""

import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

CRS = "EPSG:32633"
LEFT, TOP = 300_000.0, 5_900_040.0
SIDE = 120
"""Pixels of 10 m along a side: 60 of 20 m, 20 of 60 m."""
S2_SIZES = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10,
    "B8A": 20, "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
S2_BANDS = tuple(S2_SIZES)
S2_CENTRES = (442.7, 492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5,
              1613.7, 2202.4)  # fmt: skip


def place(size: float, left: float = LEFT, top: float = TOP) -> Affine:
    """Return the transform of pixels of a size in metres."""
    return Affine(size, 0, left, 0, -size, top)


def counts_of(band: str, size: int, side: int = SIDE) -> np.ndarray:
    """Return the counts (H, W) uint16 of a band: each pixel another, a corner without data."""
    pixels = side * 10 // size
    rows, columns = np.mgrid[:pixels, :pixels]
    values = 1000 + 50 * S2_BANDS.index(band) + 7 * rows + 3 * columns
    values[: pixels // 10, : pixels // 10] = 0
    return values.astype(np.uint16)


def scl_of(side: int = SIDE) -> np.ndarray:
    """Return scene classification at 20 m: vegetation, and a stripe of rows for each class."""
    codes = np.full((side // 2, side // 2), 4, np.uint8)
    for code in range(12):
        codes[10 + code, 20:30] = code
    return codes


def write_image(path: Path, values: np.ndarray, size: float, driver: str = "JP2OpenJPEG",
                **how: object) -> Path:  # fmt: skip
    """Write (H, W) or (bands, H, W) losslessly."""
    values = values[None] if values.ndim == 2 else values
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    profile = {"crs": CRS, "transform": place(size), **lossless, **how}
    with rasterio.open(
        path, "w", driver=driver, count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(values)
    return path


def sentinel_2(
    folder: Path, level: str = "L2A", baseline: str = "05.09", side: int = SIDE, **how: object
) -> Path:
    """Write a SAFE folder.

    Args:
        folder: in which it is made.
        level: L1C or L2A.
        baseline: of processing; since 04.00 with an offset of -1000.
        side: pixels of 10 m along a side.
        how: to write the images, as rasterio takes it.
    """
    code = baseline.replace(".", "")
    name = f"S2B_MSI{level}_20230801T101559_N{code}_R065_T33UUU_20230801T134500"
    safe = folder / f"{name}.SAFE"
    granule = f"GRANULE/{level}_T33UUU_A033456_20230801T102012"
    images = {}
    for band, size in S2_SIZES.items():
        if level == "L2A" and band == "B10":
            continue
        inner = f"IMG_DATA/R{size}m/" if level == "L2A" else "IMG_DATA/"
        ending = f"_{size}m" if level == "L2A" else ""
        image = f"{granule}/{inner}T33UUU_20230801T101559_{band}{ending}"
        write_image(safe / f"{image}.jp2", counts_of(band, size, side), size, **how)
        images[image] = band
    if level == "L2A":
        # a coarser copy of a band, as level 2A has them
        copy = f"{granule}/IMG_DATA/R20m/T33UUU_20230801T101559_B02_20m"
        write_image(safe / f"{copy}.jp2", counts_of("B02", 20, side), 20)
        scl = f"{granule}/IMG_DATA/R20m/T33UUU_20230801T101559_SCL_20m"
        write_image(safe / f"{scl}.jp2", scl_of(side), 20)
        images |= {copy: "B02", scl: "SCL"}
    else:
        masks = np.zeros((3, side // 6, side // 6), np.uint8)
        masks[0, 5], masks[1, 6], masks[2, 7] = 1, 1, 1
        write_image(safe / granule / "QI_DATA/MSK_CLASSI_B00.jp2", masks, 60)
    (safe / f"MTD_MSI{level}.xml").write_text(_metadata(name, level, baseline, list(images)))
    (safe / "manifest.safe").write_text("<xfdu/>")
    return safe


def _metadata(name: str, level: str, baseline: str, images: Sequence[str]) -> str:
    n = level[1:]
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{band.replace("B0", "B")}">'
        f'<Wavelength><MIN unit="nm">1</MIN><MAX unit="nm">2</MAX>'
        f'<CENTRAL unit="nm">{centre}</CENTRAL></Wavelength></Spectral_Information>'
        for i, (band, centre) in enumerate(zip(S2_BANDS, S2_CENTRES, strict=True))
    )
    tag, group = ("BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST") if level == "L2A" else (
        "RADIO_ADD_OFFSET", "Radiometric_Offset_List")  # fmt: skip
    offsets = "".join(f'<{tag} band_id="{i}">-1000</{tag}>' for i in range(13))
    offsets = f"<{group}>{offsets}</{group}>" if float(baseline) >= 4 else ""
    quantification = (
        '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000'
        "</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>"
        if level == "L2A"
        else '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    )
    kind = f"Level-{n}_User_Product"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:{kind} xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/User_Product_Level-{n}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2023-08-01T10:15:59.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{n}</PROCESSING_LEVEL><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake datatakeIdentifier="x"><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
<DATATAKE_SENSING_START>2023-08-01T10:15:59.024Z</DATATAKE_SENSING_START></Datatake>
<Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{files}</Granule>
</Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>{quantification}{offsets}
<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info></n1:{kind}>"""


def landsat(folder: Path, level: str = "L2SP", metadata: str = "txt") -> Path:
    """Write a folder of Landsat 8, Collection 2: bands of 40 x 40 pixels, QA_PIXEL, MTL."""
    name = f"LC08_{level}_193026_20230801_20230811_02_T1"
    target = folder / name
    is_surface = level.startswith("L2")
    spectral = (1, 2, 3, 4, 5, 6, 7) if is_surface else (1, 2, 3, 4, 5, 6, 7, 9)
    files = {}
    for number in spectral:
        ending = f"SR_B{number}" if is_surface else f"B{number}"
        values = np.full((40, 40), 8000 + number, np.uint16)
        values[0] = 0
        write_image(target / f"{name}_{ending}.TIF", values, 30, "GTiff", nodata=0)
        files[f"FILE_NAME_BAND_{number}"] = f"{name}_{ending}.TIF"
    thermal = "ST_B10" if is_surface else "B10"
    write_image(target / f"{name}_{thermal}.TIF", np.full((40, 40), 44000, np.uint16), 30, "GTiff")
    files[f"FILE_NAME_BAND_{thermal.removeprefix('B')}"] = f"{name}_{thermal}.TIF"
    if not is_surface:
        write_image(target / f"{name}_B8.TIF", np.full((80, 80), 9000, np.uint16), 15, "GTiff")
        files["FILE_NAME_BAND_8"] = f"{name}_B8.TIF"
    quality = np.full((40, 40), 21824, np.uint16)  # clear
    for row, bit in enumerate((1, 2, 3, 4, 5, 7), 10):
        quality[row] |= 1 << bit
    quality[0] = 1
    write_image(target / f"{name}_QA_PIXEL.TIF", quality, 30, "GTiff")
    files["FILE_NAME_QUALITY_L1_PIXEL"] = f"{name}_QA_PIXEL.TIF"
    groups = _groups(name, level, files, spectral)
    (target / f"{name}_MTL.{metadata}").write_text(_MTL[metadata](groups))
    return target


def _groups(
    name: str, level: str, files: Mapping[str, str], spectral: Sequence[int]
) -> dict[str, dict[str, str]]:
    reflectance = {
        f"REFLECTANCE_{part}_BAND_{n}": value
        for n in spectral
        for part, value in (("MULT", "2.75e-05"), ("ADD", "-0.2"))
    }
    of_top = {
        f"REFLECTANCE_{part}_BAND_{n}": value
        for n in spectral
        for part, value in (("MULT", "2.0000E-05"), ("ADD", "-0.100000"))
    }
    radiance = {"RADIANCE_MULT_BAND_10": "3.8000E-04", "RADIANCE_ADD_BAND_10": "0.10000"}
    groups = {
        "PRODUCT_CONTENTS": {
            "LANDSAT_PRODUCT_ID": name, "PROCESSING_LEVEL": level, "COLLECTION_NUMBER": "02",
            **files,
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": "LANDSAT_8", "SENSOR_ID": "OLI_TIRS", "DATE_ACQUIRED": "2023-08-01",
            "SCENE_CENTER_TIME": "10:02:33.1234567Z", "SUN_ELEVATION": "30.00000000",
        },
        "LEVEL1_RADIOMETRIC_RESCALING": {**radiance, **of_top},
    }  # fmt: skip
    if level.startswith("L2"):
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = reflectance
        groups["LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"] = {
            "TEMPERATURE_MULT_BAND_ST_B10": "0.00341802", "TEMPERATURE_ADD_BAND_ST_B10": "149.0",
        }  # fmt: skip
    return groups


def _as_text(groups: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, members in groups.items():
        lines.append(f"  GROUP = {group}")
        for key, value in members.items():
            shown = value if value.replace(".", "").replace("-", "").isdigit() else f'"{value}"'
            lines.append(f"    {key} = {shown}")
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def _as_xml(groups: Mapping[str, Mapping[str, str]]) -> str:
    inner = "".join(
        f"<{group}>{''.join(f'<{k}>{v}</{k}>' for k, v in members.items())}</{group}>"
        for group, members in groups.items()
    )
    return f'<?xml version="1.0"?><LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'


_MTL = {
    "txt": _as_text,
    "xml": _as_xml,
    "json": lambda groups: json.dumps({"LANDSAT_METADATA_FILE": groups}),
}


def zipped(folder: Path, target: Path, *, below: bool = True) -> Path:
    """Pack a folder into a zip, under its own name or bare."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent if below else folder))
    return target


def tarred(folder: Path, target: Path, mode: str = "w") -> Path:
    """Pack the files of a folder into a tar, as USGS does: without their folder."""
    with tarfile.open(target, mode) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return target
