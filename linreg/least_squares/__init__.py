"""What a record says of the optimum: loss, curvature, standard errors, what moved between two versions."""
