"""When partitions are enough to be the unit of an error, and Student's t."""

from scipy.special import stdtrit

FEWEST_PARTITIONS = 30  # below that, errors clustered by partition are too small (Cameron and Miller 2015)


def quantile(level: float, degrees: float) -> float:
    """Student's t that a two-sided interval of that level reaches to."""
    return float(stdtrit(degrees, (1 + level) / 2))
