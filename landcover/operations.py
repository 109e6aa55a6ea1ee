"""The operations offered, in the order of a mapping campaign."""

from landcover.inference.classify import classify_scene
from landcover.inference.radiometry import check_radiometry
from landcover.maps.areas import tabulate_areas
from landcover.maps.change import detect_changes
from landcover.maps.export import export_map
from landcover.maps.polygonize import polygonize_map
from landcover.maps.sieve import sieve_map
from landcover.operation import Needs, Operation
from landcover.quality.assessment import assess_quality
from landcover.quality.comparison import compare_maps
from landcover.quality.reference_sample import draw_reference_sample
from landcover.samples.balancing import balance_samples
from landcover.samples.extraction import extract_samples
from landcover.scenes.auto_labels.label import label_by_color
from landcover.scenes.clouds.mask import mask_clouds
from landcover.scenes.composites.compose import compose_scenes
from landcover.scenes.composites.stack import stack_scenes
from landcover.scenes.features.derive import derive_bands
from landcover.scenes.import_scene import import_scene
from landcover.training.train import (
    needs_of_training,
    settle_training,
    train_classifier,
)

OPERATIONS = (
    Operation.of(import_scene, "1.1", Needs(cores=2, memory_mib=2048)),
    Operation.of(mask_clouds, "1.0", Needs(memory_mib=4096)),
    Operation.of(stack_scenes, "1.1"),
    Operation.of(compose_scenes, "1.1", Needs(cores=2, parts=True, workers=True)),
    Operation.of(derive_bands, "1.1"),
    Operation.of(label_by_color, "1.0", Needs(cores=2, memory_mib=3072)),
    Operation.of(extract_samples, "1.6"),
    Operation.of(balance_samples, "1.3"),
    Operation.of(train_classifier, "1.5", needs_of_training, settle_training),
    Operation.of(check_radiometry, "1.4"),
    Operation.of(classify_scene, "1.5", Needs(cores=2, memory_mib=4096, parts=True)),
    Operation.of(draw_reference_sample, "1.1"),
    Operation.of(assess_quality, "1.2"),
    Operation.of(compare_maps, "1.2"),
    Operation.of(sieve_map, "1.0"),
    Operation.of(tabulate_areas, "1.0"),
    Operation.of(detect_changes, "1.0"),
    Operation.of(polygonize_map, "1.0"),
    Operation.of(export_map, "1.0"),
)
"""The only list: commands, processes, functions of the package, forms and tests follow from it."""


def by_identifier(identifier: str) -> Operation:
    """Return one operation.

    Raises:
        KeyError: there is none of this name.
    """
    return {operation.identifier: operation for operation in OPERATIONS}[identifier]
