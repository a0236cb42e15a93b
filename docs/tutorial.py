# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gradient descent, step by step
#
# Yields of apples and oranges from temperature, rainfall and humidity: a linear model, first with every step written
# out, then with PyTorch's own pieces. This page walks the tutorial that the project began with ("Gradient Descent and
# Linear Regression with PyTorch", after jovian.ai, `aakashns/02-linear-regression`) through the library's functions.
# Beside each number that the tutorial prints stands ours, and at each step what the *moments* add: the one small
# record that holds all that mean squared error needs to know about the rows.
#
# `docs/tutorial.ipynb` is this file, run (`make notebook`). `python -m linreg.tutorial` prints the table at its end.

# %%
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from linreg import plots
from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective, largest_stable_rate
from linreg.moments.moments import Moments
from linreg.training.convergence import minibatch_rate, parameters_after, recorded_epochs
from linreg.training.fit import fit as train
from linreg.training.plan import epochs_until, plan
from linreg.training.trainers.contract import stack
from linreg.tutorial import (
    check,
    crops,
    descend,
    draw_parameters,
    fit,
    gradients,
    mse,
    printed_numbers,
    regression_model,
    tensors,
    update,
    zero_gradients,
)


@dataclass
class Picture:
    """A figure that a notebook shows; a plain script passes over it."""

    figure: Figure

    def _repr_png_(self) -> bytes:
        return plots.png(self.figure)


torch.set_printoptions(precision=4, sci_mode=False)

# %% [markdown]
# ## Arrays to tensors
#
# Five regions. `tensors` makes float32 copies of two tables and refuses what is not a grid of numbers.

# %%
first = crops.first_table()
inputs, targets = first.arrays()
x, y = tensors(inputs, targets)
print(x)
print(y)

# %% [markdown]
# **What the moments add.** One pass makes the record, a triangle of 6 x 6 numbers; it stays that size for a billion
# rows. From it come the loss and its best possible value, before anything is trained.

# %%
moments = Moments.of(first.blocks(), first.features, first.targets)
objective = Objective.of(moments)
print(f"the record: {' x '.join(map(str, moments.root_KK.shape))} for {moments.rows} rows")
print(f"best possible loss: {objective.optimum_loss:.4f}")

# %% [markdown]
# ## Weights and biases
#
# One row of weights a target and one bias each, drawn from a standard normal distribution.

# %%
weight, bias = draw_parameters(features=3, targets=2, generator=torch.Generator().manual_seed(0))
print(weight)
print(bias)

# %% [markdown]
# The tutorial's draw cannot be drawn again, as it names no seed, but it is printed with four decimals. From here on
# we stand where it stood.

# %%
weight = torch.tensor(printed_numbers.WEIGHT_OF, dtype=torch.float32, requires_grad=True)
bias = torch.tensor(printed_numbers.BIAS_O, dtype=torch.float32, requires_grad=True)

# %% [markdown]
# **What the moments add.** The loss that such a draw starts with on average, without drawing: the best possible loss,
# plus what the distance from zero to the optimum costs, plus half the trace of the Hessian for each target.

# %%
from_zero = objective.excess_loss(np.zeros_like(objective.optimum_DO))
expected_start = objective.optimum_loss + from_zero + 0.5 * len(first.targets) * objective.curvature_D.sum()
print(f"expected loss of a random start: {expected_start:,.0f}")
print(f"the tutorial's two starts:       {printed_numbers.LOSS:,.0f} and {printed_numbers.STARTING_LOSS:,.0f}")

# %% [markdown]
# ## The model and its predictions
#
# The model is `x @ w.T + b`: one row of predictions a region, one column a target.

# %%
predictions = regression_model(x, weight, bias)
for ours, theirs, actual in zip(predictions.tolist(), printed_numbers.PREDICTIONS_NO, targets, strict=True):
    print("ours {:9.4f} {:9.4f}   printed {:9.4f} {:9.4f}   actual {:3.0f} {:3.0f}".format(*ours, *theirs, *actual))

# %% [markdown]
# **What the moments add.** They hold the columns' means, and the mean of a linear model's predictions is its
# prediction at the mean: how far the model is off on average is known without a row.

# %%
theta = stack(weight, bias)  # bias first, in float64
mean_prediction = theta[0] + moments.mean_P[:3] @ theta[1:]
print("mean prediction, from the record:", mean_prediction.round(4))
print("mean prediction, from the rows:  ", predictions.detach().double().mean(dim=0).numpy().round(4))

# %% [markdown]
# ## The loss
#
# The mean of the squared differences over all ten elements.

# %%
loss = mse(predictions, y)
print(f"ours {loss.item():.4f}   printed {printed_numbers.LOSS:.4f}")

# %% [markdown]
# **What the moments add.** The record gives the loss of any parameters without the rows.

# %%
print(f"from the record {objective.loss(theta):.4f}, of which {objective.excess_loss(theta):.4f} is avoidable")

# %% [markdown]
# ## The gradients
#
# `gradients` differentiates the loss by autograd (`backward()`): how fast the loss changes with each weight and bias.

# %%
weight_gradient, bias_gradient = gradients(loss, weight, bias)
print("ours")
print(weight_gradient, bias_gradient)
print("printed")
print(torch.tensor(printed_numbers.WEIGHT_GRADIENT_OF).float(), torch.tensor(printed_numbers.BIAS_GRADIENT_O).float())

# %% [markdown]
# **What the moments add.** The loss is quadratic, so its gradient is `H theta - s`, with a Hessian H and a vector s
# that do not change: both come from the record, and no epoch has to look at a row.

# %%
from_record = objective.gradient(theta)
print(torch.tensor(from_record[1:].T).float(), torch.tensor(from_record[0]).float())

# %% [markdown]
# ## Zeroing the gradients
#
# PyTorch adds every gradient to the last one, so a second `backward()` doubles it. It has to be set to zero in
# between.

# %%
doubled, _ = gradients(mse(regression_model(x, weight, bias), y), weight, bias)
print(f"without zeroing, the gradient is {(doubled / weight_gradient).mean().item():.4f} times itself")
zero_gradients(weight, bias)
print(weight.grad, bias.grad)

# %% [markdown]
# **What the moments add.** `H theta - s` is computed afresh each time and adds up nothing; and it says where the
# gradient is zero by itself, which is where the descent is on its way to. Autograd on the rows, in float64, agrees.

# %%
optimum = objective.optimum_DO
print("the optimum, biases first:")
print(optimum.round(4))
best_bias, *best_weight = (torch.from_numpy(row) for row in optimum)
best_weight, best_bias = torch.stack(best_weight, dim=1).requires_grad_(), best_bias.clone().requires_grad_()
best_loss = mse(regression_model(x.double(), best_weight, best_bias), y.double())
steepest = max(g.abs().max().item() for g in gradients(best_loss, best_weight, best_bias))
print(f"every gradient there is smaller than 1e-7: {steepest < 1e-7}")

# %% [markdown]
# ## One update
#
# Each parameter moves against its gradient, by the learning rate times as much.

# %%
loss = mse(regression_model(x, weight, bias), y)
gradients(loss, weight, bias)
update(weight, bias, learning_rate=1e-5)
zero_gradients(weight, bias)
next_loss = mse(regression_model(x, weight, bias), y)
print(f"before: ours {loss.item():.4f}   printed {printed_numbers.LOSS:.4f}")
print(f"after:  ours {next_loss.item():.4f}   printed {printed_numbers.NEXT_LOSS:.4f}")

# %% [markdown]
# **What the moments add.** Why 1e-5? Descent converges for rates below 2 over the Hessian's largest eigenvalue. That
# is the largest stable rate, and a rate of 1e-4 would already have been close to it.

# %%
stable_rate = largest_stable_rate(objective.eigenvalues_D[0])
print(f"largest stable learning rate: {stable_rate:.4g}")
after_one = objective.loss(parameters_after(objective, theta, learning_rate=1e-5, epochs=1))
print(f"loss after one update, from the record: {after_one:.4f}")

# %% [markdown]
# ## A thousand epochs
#
# `descend` repeats the five steps, keeps the loss before each update, and draws a progress bar on a terminal. We
# start again at the printed weights.

# %%
weight = torch.tensor(printed_numbers.WEIGHT_OF, dtype=torch.float32, requires_grad=True)
bias = torch.tensor(printed_numbers.BIAS_O, dtype=torch.float32, requires_grad=True)
history = descend(x, y, weight, bias, learning_rate=1e-5, epochs=1000)
print(f"{len(history)} epochs: starting loss {history[0]:.4f}, ending loss {history[-1]:.4f}")

# %% [markdown]
# The tutorial draws new parameters here and does not print them: it comes from 31568.07 to 54.97. So its two numbers
# cannot be compared with ours one to one, but they can be held against what is possible.

# %%
print(f"printed: starting loss {printed_numbers.STARTING_LOSS:.4f}, ending loss {printed_numbers.ENDING_LOSS:.4f}")

# %% [markdown]
# **What the moments add.** The best possible loss; the condition number, that is, how much narrower the valley is
# than it is long; and the number of epochs that it takes at this rate to come within 1% of the best possible loss. A
# thousand looks like enough only because the curve looks flat.

# %%
how = TrainConfig(trainer="manual", learning_rate=1e-5, standardize=False)
needed = epochs_until(objective, how, 0.01, objective.model(theta))
print(f"best possible loss       {objective.optimum_loss:.4f}")
print(f"condition number         {objective.condition_number:.2g}")
print(f"epochs to within 1%      {needed:,}")

# %% [markdown]
# They also know where each epoch leads without walking there. In closed form, a thousand epochs cost what one costs;
# the loop agrees to the rounding of its float32. And a hundred thousand random starts are as cheap: those whose loss
# begins within 1% of the tutorial's 31568 show where a thousand epochs can end.

# %%
closed = parameters_after(objective, theta, learning_rate=1e-5, epochs=1000)
looped = stack(weight, bias)
print(f"loss after 1000 epochs: looped {objective.loss(looped):.5f}, closed form {objective.loss(closed):.5f}")

starts = np.random.default_rng(0).standard_normal((100_000, 4, 2))
away = np.einsum("df,kdo->kfo", objective.basis_DD, starts - optimum)
share = 0.5 * objective.eigenvalues_D[:, None] * away**2
begin = objective.optimum_loss + share.sum(axis=(1, 2))
kept = (1 - 1e-5 * objective.eigenvalues_D) ** 999  # the last loss kept is the one before the thousandth update
end = objective.optimum_loss + (share * kept[:, None] ** 2).sum(axis=(1, 2))
alike = end[np.abs(begin / printed_numbers.STARTING_LOSS - 1) < 0.01]
low, high = np.quantile(alike, [0.025, 0.975])
print(f"{len(alike)} starts like the tutorial's: 95% of them end between {low:.2f} and {high:.2f}")
share_lower = (alike < printed_numbers.ENDING_LOSS).mean()
print(f"the tutorial's {printed_numbers.ENDING_LOSS:.2f}: {share_lower:.0%} of them end lower")

# %% [markdown]
# ## The loss as a parabola
#
# Drawn against one weight or bias, with all others where the descent ended, the loss is a parabola. The dots are the
# values that the parameter took on the way.

# %%
epochs = recorded_epochs(1000)
path = np.array([parameters_after(objective, theta, learning_rate=1e-5, epochs=t) for t in epochs])
picture = plots.parabolas(
    path,
    epochs,
    curvature_D=objective.curvature_D,
    gradient_DO=objective.gradient(path[-1]),
    loss=objective.loss(path[-1]),
    features=first.features,
    targets=first.targets,
)
Picture(picture)

# %% [markdown]
# **What the moments add.** All of the picture: the dots come from the closed form, the curvatures are the Hessian's
# diagonal. And a warning: nearly every parameter stands at the bottom of its own parabola, and yet the loss is
# several times the best possible one. What is left lies along a direction in which several parameters would have to
# move together. No single one of these pictures shows it; the eigenvalues do.

# %%
gain = objective.gradient(looped) ** 2 / (2 * objective.curvature_D[:, None])
print(f"loss now {objective.loss(looped):.4f}, best possible {objective.optimum_loss:.4f}")
print(f"what the best single parameter could still gain by itself: {gain.max():.4f}")
print("eigenvalues of the Hessian:", *(f"{v:.3g}" for v in objective.eigenvalues_D))

# %%
Picture(plots.loss_curve([*history, objective.loss(looped)], objective.optimum_loss))

# %% [markdown]
# ## PyTorch's own pieces: TensorDataset
#
# The second half has fifteen rows, the first five among them. A `TensorDataset` hands out slices of both tables.

# %%
second = crops.second_table()
inputs, targets = second.arrays()
x, y = tensors(inputs, targets)
dataset = TensorDataset(x, y)
print(dataset[0:3])

# %% [markdown]
# **What the moments add.** Records add up: that of the first five rows plus that of the other ten is that of all
# fifteen, so new rows never make old ones be read again.

# %%
table = np.hstack([inputs, targets])
rest = Moments.of([table[5:]], second.features, second.targets)
objective_15 = Objective.of(moments + rest)
whole = Objective.of(Moments.of([table], second.features, second.targets))
print(f"best possible loss: {objective_15.optimum_loss:.6f} added up, {whole.optimum_loss:.6f} in one pass")

# %% [markdown]
# ## DataLoader
#
# Batches of five in a new order every epoch: three updates an epoch instead of one. The tutorial's order is not
# printed, so its first batch is five other rows.

# %%
loader = DataLoader(dataset, batch_size=5, shuffle=True, generator=torch.Generator().manual_seed(0))
x_batch, y_batch = next(iter(loader))
print(x_batch)
print(y_batch)

# %% [markdown]
# **What the moments add.** A small batch has a Hessian of its own, at times steeper than that of all rows, so it
# bears a smaller rate: about 2 over the largest eigenvalue plus a batch's share of the trace.

# %%
batch_rate = minibatch_rate(objective_15, 5)
print(f"learning rate that batches of 5 bear (an estimate): {batch_rate:.3g}")
print(f"learning rate that the whole table bears:           {largest_stable_rate(objective_15.eigenvalues_D[0]):.3g}")

# %% [markdown]
# ## nn.Linear, its parameters, and mse_loss
#
# `nn.Linear(3, 2)` is the same model and draws its own start. We put the tutorial's printed one in its place.

# %%
torch.manual_seed(0)
model = nn.Linear(3, 2)
print(list(model.parameters()))
start = {"weight": torch.tensor(printed_numbers.LINEAR_WEIGHT_OF), "bias": torch.tensor(printed_numbers.LINEAR_BIAS_O)}
model.load_state_dict(start)
linear_loss = mse_loss(model(x), y)
print(f"ours {linear_loss.item():.4f}   printed {printed_numbers.LINEAR_LOSS:.4f}")

# %% [markdown]
# **What the moments add.** The same loss again from the record, and with it the epochs that full batches would need.

# %%
theta_linear = stack(model.weight, model.bias)
needed_15 = epochs_until(objective_15, how, 0.01, objective_15.model(theta_linear))
print(
    f"from the record {objective_15.loss(theta_linear):.4f}; within 1% of the best possible after {needed_15:,} epochs"
)

# %% [markdown]
# ## optim.SGD and fit
#
# `fit` walks the loader epoch by epoch with the same five steps, and prints the loss of the last batch every tenth
# epoch.

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=1e-5)
fit(100, model, mse_loss, optimizer, loader)

# %% [markdown]
# The tutorial's lines come from other batches in an order that it does not print: the same start, the same kind of
# walk, other numbers.

# %%
for epoch, value in zip(range(10, printed_numbers.FIT_EPOCHS + 1, 10), printed_numbers.FIT_LOSSES, strict=True):
    print(f"printed: Epoch [{epoch}/{printed_numbers.FIT_EPOCHS}], Loss: {value:.4f}")

# %% [markdown]
# **What the moments add.** A batch's loss jumps about with the rows that happen to be in it. The record gives the
# loss of all rows at these parameters, and how much of it is still avoidable.

# %%
theta_fitted = stack(model.weight, model.bias)
print(f"loss of all 15 rows {objective_15.loss(theta_fitted):.4f}, best possible {objective_15.optimum_loss:.4f}")

# %% [markdown]
# ## Where it all leads: the exact answer
#
# **What the moments add, at the end.** The answer itself. The trainer `exact` solves for it in one go, with no rate
# to choose. And if it is to be descent, `plan` tells what to change: on scaled columns the valley is round.

# %%
exact = train(second, TrainConfig(trainer="exact"))
print(f"loss {exact.train_loss[-1]:.6f} without an epoch; each target's bias and weights:")
for name, intercept, slopes in zip(second.targets, exact.model.intercept_O, exact.model.weight_OF, strict=True):
    print(f"  {name:8}", f"{intercept:9.4f}", *(f"{w:9.4f}" for w in slopes))
config = TrainConfig(trainer="manual", learning_rate=1e-5, epochs=1000, standardize=False)
for line in plan(moments + rest, config).advice:
    print(line)

# %% [markdown]
# ## Printed, ours, difference
#
# Every number that the tutorial prints and that follows from parameters it prints too. It rounds those to four
# decimals and computes with more, so a small difference is bound to be there. The last column is the largest one that
# this rounding explains: half a unit of the fourth decimal in every parameter, carried through the derivatives.

# %%
lines = check.table(first, second)
print(check.text(lines))

# %% [markdown]
# The rounding explains it to the last digit: the decimals that printing cut off can be solved for. With these
# weights, each within half a unit of the printed ones, all twenty numbers of the first half come out as printed, to
# what float32 resolves.

# %%
restored, numbers = check.restored(first)
print("weights:", restored[:6].round(6))
print("biases: ", restored[6:].round(6))
print(f"loss {numbers[10]:.4f}, printed {printed_numbers.LOSS:.4f};", end=" ")
print(f"after one update {numbers[-1]:.4f}, printed {printed_numbers.NEXT_LOSS:.4f}")
resolution = np.maximum(0.5e-4, np.spacing(np.abs(check.printed_in_order()).astype(np.float32)))
largest = (np.abs(numbers - check.printed_in_order()) / resolution).max()
print(f"largest difference: {largest:.2f} times half a printed unit, or a float32 step where that is larger")

# %% [markdown]
# What cannot be compared, and why:
#
# | printed | ours | why |
# |---|---|---|
# | 31568.07 to 54.97 in 1000 epochs | the same from the first draw | the second draw of the parameters is not printed |
# | the first batch of the loader | five other rows | the order of the shuffle is not printed |
# | `fit`'s ten lines, 744.77 to 12.03 | the same start, other lines | the order of the batches is not printed |
