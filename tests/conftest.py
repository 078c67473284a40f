"""The same tests on every run and every machine: hypothesis draws from a fixed seed, and no window opens."""

import matplotlib
from hypothesis import settings
from in_browser import browser as browser  # a fixture

matplotlib.use("agg")
settings.register_profile("ostrl", derandomize=True, deadline=None, database=None)
settings.load_profile("ostrl")
