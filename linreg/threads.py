"""One BLAS thread: what the bits of a result must not hang on is how many threads a machine has.

Narrow factors lose time to a second thread anyway.
"""

from threadpoolctl import threadpool_limits


def one_thread() -> threadpool_limits:
    """A context in which numpy's and scipy's linear algebra runs on one thread."""
    return threadpool_limits(limits=1, user_api="blas")
