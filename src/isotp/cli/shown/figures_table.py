"""A table of figures as wide as the terminal, or a paragraph for each of its rows where it does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["FiguresTable"]

WIDTH_OF_FILES = 160  # of the table where it does not go to a terminal
INDENT = "    "


@dataclass
class FiguresTable:
    """Rows of figures. The first `titles` columns say what a row is about.

    :param words: what a figure is called in a paragraph, if not by the name of its column.
    """

    titles: Sequence[str]
    figures: Sequence[str]
    words: dict[str, str] = field(default_factory=dict)
    rows: list[list[Text]] = field(default_factory=list)

    def add(self, *cells: str | Text) -> None:
        # As text: in a str, brackets would be markup.
        self.rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def show(self) -> None:
        """On standard output."""
        console = Console()
        if not console.is_terminal:
            console = Console(width=WIDTH_OF_FILES)
            console.print(self._table(box.ASCII2))
            return
        table = self._table(box.SIMPLE_HEAD)
        # Figures are not wrapped in their cells, nor cut: they go below the titles instead.
        if console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width:
            console.print(table)
        else:
            for row in self.rows:
                self._show_paragraph(console, row)

    def _table(self, frame: box.Box) -> Table:
        table = Table(box=frame, pad_edge=False)
        for name in self.titles:
            table.add_column(name, no_wrap=True)
        for name in self.figures[:-1]:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column(self.figures[-1])
        for row in self.rows:
            table.add_row(*row)
        return table

    def _show_paragraph(self, console: Console, row: list[Text]) -> None:
        titles, figures = row[: len(self.titles)], row[len(self.titles) :]
        console.print(Text("  ").join(titles), style="bold", soft_wrap=True, highlight=False)
        line = Text(INDENT)
        for name, cell in zip(self.figures, figures, strict=True):
            if not cell.plain:
                continue
            figure = Text.assemble(f"{self.words.get(name, name)} ", cell)
            if line.plain != INDENT and line.cell_len + len("  ") + figure.cell_len > console.width:
                console.print(line, soft_wrap=True, highlight=False)
                line = Text(INDENT)
            if line.plain != INDENT:
                line.append("  ")
            line.append_text(figure)
        console.print(line, soft_wrap=True, highlight=False)
