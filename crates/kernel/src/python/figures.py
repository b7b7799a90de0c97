# matplotlib's backend: `plt.show()` and the end of a cell show the open figures, and close them.

import weakref

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase, _Backend
from matplotlib.backends.backend_agg import FigureCanvasAgg

from _agb import results
from _agb.cells import cells

was_shown = weakref.WeakSet()


def shown(figure):
    """Notes that a figure was shown as it is: it is not shown again unless it changes."""
    figure.stale = False
    was_shown.add(figure)


class FigureManager(FigureManagerBase):
    def show(self):
        figure = self.canvas.figure
        results.display(figure)
        Gcf.destroy(self)


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager


@_Backend.export
class _BackendFigures(_Backend):
    FigureCanvas, FigureManager = FigureCanvas, FigureManager

    @staticmethod
    def show(*args, **options):
        show()


def show(*args, **options):  # noqa: F811 - what `export` has put here takes a main loop for granted
    flush()


def flush():
    """Shows the open figures that were not shown as they are, and closes all."""
    try:
        for manager in Gcf.get_all_fig_managers():
            figure = manager.canvas.figure
            if figure not in was_shown or figure.stale:
                results.display(figure)
    finally:
        Gcf.destroy_all()


cells.after.append(flush)
