"""The numbers that the tutorial prints, as it prints them.

Weights and biases stand with four decimals; everything else was computed from more. Nothing is computed here.

Shapes: N = 5 rows, F = 3 features, O = 2 targets (apples, oranges).
"""

import numpy as np

WEIGHT_OF = np.array([[0.7171, -0.4566, 0.3752], [-2.4049, -0.1775, 0.8105]])
BIAS_O = np.array([0.4293, -0.6531])
LEARNING_RATE = 1e-5
PREDICTIONS_NO = np.array(
    [[38.3222, -153.2487], [49.5216, -183.2430], [23.3985, -186.6518], [67.8257, -223.5927], [32.3434, -126.8929]]
)
LOSS, NEXT_LOSS = 37871.85546875, 25911.462890625  # before and after one update
WEIGHT_GRADIENT_OF = np.array([[-2534.6836, -4315.5259, -2314.0107], [-22704.0098, -23523.1172, -14637.0957]])
BIAS_GRADIENT_O = np.array([-33.9177, -266.7258])

# 1000 epochs from a second draw, which is not printed
STARTING_LOSS, ENDING_LOSS = 31568.06640625, 54.96778106689453

# nn.Linear's own draw, on the 15 rows
LINEAR_WEIGHT_OF = np.array([[0.2004, -0.1433, 0.1634], [-0.4712, -0.5417, -0.2353]])
LINEAR_BIAS_O = np.array([-0.3474, 0.0779])
LINEAR_LOSS = 22213.8789

# fit's lines, from that start, over batches of 5 in an order that is not printed
FIT_EPOCHS, BATCH_SIZE = 100, 5
FIT_LOSSES = (744.7711, 107.7794, 71.2221, 73.8659, 59.5663, 30.8944, 51.4250, 49.9322, 27.3745, 12.0347)
