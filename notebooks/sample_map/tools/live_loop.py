"""The loop of one map: draw, see, be told where to look next; what the panel asks of it."""

from typing import Any

from sample_map.tools.drawing import Drawing
from sample_map.tools.preview import Preview, Send
from sample_map.tools.small_forest import Question
from sample_map.tools.where_next import WhereNext

Message = dict[str, Any]


class LiveLoop:
    """Answers the panel about previews and next places."""

    def __init__(self, drawing: Drawing, send: Send) -> None:
        """Begin with nothing to see.

        Args:
            drawing: what is drawn.
            send: tells a view what there is to see; called in another thread.
        """
        self._drawing = drawing
        self._preview = Preview(send)
        self._where_next = WhereNext()

    def see(self, message: Message, scene: str) -> Message:
        """Begin to preview what a view shows; it is told in messages of its own."""
        south, west, north, east = (float(degrees) for degrees in message["bounds"])
        samples = tuple(self._drawing.store.samples.values())
        self._preview.begin(
            Question(
                str(message["view"]), scene, (south, west, north, east), bool(message["windows"]),
                samples, self._drawing.legend,
            )
        )  # fmt: skip
        return {}

    def leave(self, message: Message) -> Message:
        """Preview no more."""
        self._preview.stop(str(message["view"]))
        return {}

    def next_place(self, message: Message) -> Message:
        """Return the next place to label; one that was put off may come again after it."""
        shown = self._preview.shown(str(message["view"]))
        scene = "" if shown is None else shown.question.scene
        left = message.get("left")
        untold = len(self._where_next.untold)
        if left and message.get("why") == "untold":
            untold = self._where_next.give_up(scene, _place(left))
        samples = tuple(self._drawing.store.samples.values())
        place = self._where_next.next(shown, str(message["rule"]), samples)
        if left and message.get("why") == "later":
            self._where_next.put_off(scene, _place(left))
        return {"place": place.to_json(), "untold": untold}

    def close(self) -> None:
        """End what is under way."""
        self._preview.close()


def _place(at: Any) -> tuple[int, int]:
    row, column = at
    return int(row), int(column)
