"""The legend beside the map: choose a class by a click, see how many samples it has."""

from collections.abc import Mapping

import ipywidgets
import traitlets

from landcover.legend import Legend

OTHER = "#777777"  # classes of the file that the legend does not name


class LegendPanel(ipywidgets.VBox):
    """One button a class, in the order of the legend.

    Attributes:
        active: name of the class that the next sample gets.
    """

    active = traitlets.Unicode()

    def __init__(self, legend: Legend) -> None:
        """Show the classes of a legend; the first one is active."""
        super().__init__(layout={"width": "220px", "padding": "0 0 0 12px"})
        self._buttons = {c.name: self._button(c.name, c.color) for c in legend.classes}
        self._message = ipywidgets.HTML()
        self._message.add_class("sample-map-message")
        heading = ipywidgets.HTML("<b>Draw samples of</b>")
        self.children = (heading, *self._buttons.values(), self._message)
        self.observe(self._mark_active, "active")
        self.active = legend.names[0]

    def show(self, counts: Mapping[str, int], message: str) -> None:
        """Show the number of samples of each class, and below a sentence (escaped HTML)."""
        for name, button in self._buttons.items():
            button.description = f"{name} ({counts.get(name, 0)})"
        self._message.value = f"<div style='line-height: 1.4'>{message}</div>"

    def _button(self, name: str, color: str) -> ipywidgets.Button:
        button = ipywidgets.Button(
            tooltip=f"Draw samples of {name}",
            layout={"width": "200px", "border_left": f"16px solid {color}"},
        )
        button.add_class("sample-map-class")
        button.on_click(lambda _: self.set_trait("active", name))
        return button

    def _mark_active(self, change: Mapping[str, str]) -> None:
        for name, button in self._buttons.items():
            button.icon = "pencil" if name == change["new"] else ""
            button.style.font_weight = "bold" if name == change["new"] else "normal"
