"""One verdict about clients that send several modules: see :mod:`clair_stats.detection.joint.verdict`."""
