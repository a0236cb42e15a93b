"""The pictures of a run: the loss on its way to the optimum, predictions against the truth, and what each feature does.

Each function draws one figure from plain arrays and returns it; ``png`` turns it into bytes. No window is opened and no
global state is touched.
"""

from linreg.plots.figure import png
from linreg.plots.parabolas import parabolas
from linreg.plots.result import coefficients, loss_curve, predicted_against_actual
from linreg.plots.ridge import ridge_path
from linreg.plots.sweep import sweep

__all__ = ["coefficients", "loss_curve", "parabolas", "png", "predicted_against_actual", "ridge_path", "sweep"]
