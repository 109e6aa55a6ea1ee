"""The report of automatic labels: thresholds, histograms, pictures, and how noisy labels are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landcover.counts import counted
from landcover.io.bands import listed
from landcover.io.legend import NODATA
from landcover.quality.naming import distinct_names
from landcover.quality.report import Note, percent, write_page
from landcover.scenes.auto_labels.checking import Noise, better_by_other_codes, noise_of
from landcover.scenes.auto_labels.concentration import columns_of
from landcover.scenes.auto_labels.join import Calibrated, Calibration, Fit, summed
from landcover.scenes.auto_labels.one_scene import Counts, SceneLabels, Task
from landcover.scenes.auto_labels.pictures import draw_histogram, draw_picture
from landcover.scenes.auto_labels.rules import RuleSet

_HISTOGRAMS = 12
"""Scenes of which the report has one."""
_ROWS = 1000
"""Scenes that its table lists."""


@dataclass(frozen=True)
class OneScene:
    """A scene that was labelled."""

    name: str
    task: Task
    counts: Counts
    plan: Calibrated
    made: SceneLabels

    @property
    def share_labelled(self) -> float:
        """Of its valid pixels."""
        valid = self.made.counts.sum()
        return float(1 - self.made.counts[NODATA] / valid) if valid else 0.0

    def shares(self) -> list[float]:
        """Return the shares of classes and groups among the labelled pixels."""
        legend, counts = self.task.rules.legend, self.made.counts
        labelled = max(int(counts[list(legend.codes)].sum()), 1)
        return [float(counts[list(codes)].sum() / labelled) for _, codes in columns_of(legend)]


@dataclass(frozen=True)
class Labelling:
    """What was labelled and what not.

    Attributes:
        rules: by which.
        how: thresholds were found.
        labelled: the scenes with labels.
        refused: names of the others, and why.
        fit: of thresholds to a reference, if that was asked for.
        has_reference: whether there is one.
    """

    rules: RuleSet
    how: Calibration
    filter: str
    labelled: tuple[OneScene, ...]
    refused: tuple[tuple[str, str], ...]
    fit: Fit | None
    has_reference: bool

    @classmethod
    def of(
        cls,
        tasks: Sequence[Task],
        counts: Sequence[Counts],
        plans: Sequence[Calibrated],
        made: Mapping[int, SceneLabels],
        how: Calibration,
        fit: Fit | None,
    ) -> "Labelling":
        """Put together what is known of each scene; `made` by their numbers."""
        known = distinct_names(
            {f"scene {i + 1}": task.known_as or str(task.scene) for i, task in enumerate(tasks)}
        )
        names = list(known.values())
        return cls(
            tasks[0].rules,
            how,
            tasks[0].filter,
            tuple(OneScene(names[i], tasks[i], counts[i], plans[i], made[i]) for i in made),
            tuple((names[i], plan.refusal) for i, plan in enumerate(plans) if plan.refusal),
            fit,
            tasks[0].reference is not None,
        )

    @property
    def share_labelled(self) -> float:
        """Of the valid pixels of all labelled scenes."""
        together = np.sum([one.made.counts for one in self.labelled], axis=0)
        valid = together.sum()
        return float(1 - together[NODATA] / valid) if valid else 0.0

    @property
    def noise(self) -> Noise | None:
        """What the reference says of all labels."""
        checked = [one.made.checked for one in self.labelled if one.made.checked is not None]
        return noise_of(checked, self.rules.legend)


def write_report(target: Path, done: Labelling) -> Path:
    """Write the page."""
    noise = done.noise
    columns = [name for name, _ in columns_of(done.rules.legend)]
    return write_page(
        target,
        "auto_labels.html",
        _notes(done, noise),
        done=done,
        noise=noise,
        columns=columns,
        scenes=done.labelled[:_ROWS],
        unlisted=max(0, len(done.labelled) - _ROWS),
        rules=_rules_in_words(done.rules),
        thresholds=[_thresholds(done, one) for one in done.labelled[:_ROWS]],
        histograms=_histograms(done),
        pictures=[
            (one.name, draw_picture(one.made.picture, done.rules.legend))
            for one in done.labelled
            if one.made.picture is not None
        ],
        colors={entry.name: entry.color for entry in done.rules.legend.classes},
    )


def _rules_in_words(rules: RuleSet) -> list[tuple[str, str]]:
    """Return each class, and its ranges as they stand in the rules."""
    return [
        (rule.name, " or ".join(" and ".join(map(str, each)) for each in rule.conditions))
        for rule in rules.classes
    ]


def _thresholds(done: Labelling, one: OneScene) -> str:
    return ", ".join(f"{value:.4g}" for value in one.plan.values(done.rules.ladder)) or "–"


def _histograms(done: Labelling) -> list[tuple[str, bytes]]:
    """Return a histogram of each scene that has thresholds of its own, else of all together."""
    legend, ladder = done.rules.legend, done.rules.ladder
    if ladder is not None and done.how == "otsu":
        return [
            (one.name, draw_histogram(one.counts.histograms[ladder.quantity], ladder.quantity,
                                      legend, ladder.codes, one.plan.cuts or ()))
            for one in done.labelled[:_HISTOGRAMS]
        ]  # fmt: skip
    together = summed([one.counts for one in done.labelled])
    codes, cuts = ((), ()) if ladder is None else _parts(done)
    return [(name, draw_histogram(of_one, name, legend, codes, cuts))
            for name, of_one in together.items()]  # fmt: skip


def _parts(done: Labelling) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the classes in the order of a ladder, and the levels that part them."""
    ladder, cuts = done.rules.ladder, done.fit.cuts if done.fit else None
    if ladder is None or cuts is None:
        return (), ()
    return ladder.codes, cuts


def _notes(done: Labelling, noise: Noise | None) -> tuple[Note, ...]:
    return (
        Note(
            "These labels were made by rules, not by people. A model that learns from them may "
            "only be judged by a reference that people made; how well it agrees with these "
            "labels says how well it learned the rules.",
            "Эти метки созданы правилами, а не людьми. Модель, обученную на них, можно оценивать "
            "только по эталону, созданному людьми; согласие с этими метками говорит лишь о том, "
            "как хорошо она выучила правила.",
            leads=True,
        ),
        *_notes_on_clouds(done),
        *_notes_on_noise(done, noise),
    )


def _notes_on_clouds(done: Labelling) -> tuple[Note, ...]:
    blind = [one.name for one in done.labelled if one.made.without_unsure]
    if not blind:
        return ()
    return (
        Note(
            f"Cloud over ice cannot be told from ice by colour alone, and {listed(blind)} "
            f"{counted(len(blind), 'has|have')} no band at 2.1 micrometres by which it could be: "
            "labels under cloud are wrong without a sign of it. Give masks, or scenes with the "
            "band swir2.",
            f"Облака надо льдом нельзя отличить от льда по одному цвету, а в {listed(blind)} нет "
            "канала 2,1 мкм, по которому это возможно: метки под облаками неверны, и это ничем не "
            "выдаётся. Задайте маски (masks) или сцены с каналом swir2.",
        ),
    )


def _notes_on_noise(done: Labelling, noise: Noise | None) -> tuple[Note, ...]:
    if noise is None:
        where = (
            "the reference has no pixel on a label" if done.has_reference
            else "no reference was given"
        )  # fmt: skip
        where_ru = "эталон не содержит размеченных пикселей" if done.has_reference else (
            "эталон не задан"
        )  # fmt: skip
        return (
            Note(
                f"How noisy these labels are is not known: {where}. Check a few dozen points by "
                "eye and give them as reference.",
                f"Насколько эти метки зашумлены, неизвестно: {where_ru}. Проверьте глазами "
                "несколько десятков точек и задайте их как эталон (reference).",
            ),
        )
    return tuple(
        note
        for is_so, note in (
            (noise.is_vague, _on_few_places(noise)),
            (bool(noise.strangers), _on_strangers(noise)),
            (noise.by_code, _on_codes(done, noise)),
            (done.fit is not None, _on_fit(done.fit)),
        )
        if is_so and note is not None
    )


def _on_few_places(noise: Noise) -> Note:
    return Note(
        f"The labels were checked in {counted(noise.places, '# place|places')}: the interval of "
        "their noise is too narrow.",
        f"Метки проверены лишь в немногих местах ({noise.places}): интервал их шума слишком узок.",
    )


def _on_strangers(noise: Noise) -> Note:
    return Note(
        f"The reference has {listed(noise.strangers)}, which the rules do not: these pixels were "
        "not compared.",
        f"В эталоне есть {listed(noise.strangers)}, чего нет в правилах: эти пиксели не "
        "сравнивались.",
    )


def _on_codes(done: Labelling, noise: Noise) -> Note:
    checked = [one.made.checked for one in done.labelled if one.made.checked is not None]
    table = np.sum([part.table for part in checked], axis=0)
    better = better_by_other_codes(table, done.rules.legend.codes)
    doubt = "; with other pairs of codes they would agree in more pixels" * better
    doubt_ru = "; при другом соответствии кодов совпало бы больше пикселей" * better
    legend = ", ".join(f"{entry.code} {entry.name}" for entry in done.rules.legend.classes)
    return Note(
        f"The reference is a raster: where it names no classes its codes were taken as those of "
        f"the rules ({legend}){doubt}.",
        f"Эталон – растр: где он не называет классов, его коды приняты за коды правил ({legend})"
        f"{doubt_ru}.",
        leads=better,
    )


def _on_fit(fit: Fit | None) -> Note | None:
    if fit is None:
        return None
    half = percent(fit.unseen)
    return Note(
        f"The thresholds were fitted to this very reference, which they put right in "
        f"{percent(fit.seen)}: that is too good. Fitted to one half of it and checked on the "
        f"other, {half} are right.",
        f"Пороги подобраны по этому же эталону и верны для {percent(fit.seen)} его пикселей: "
        "оценка завышена. При подборе по одной половине и проверке на другой верны "
        f"{half}.",
        leads=True,
    )
