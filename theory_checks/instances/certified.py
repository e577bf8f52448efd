"""The certificate of an instance, as its own extras tell the program."""

from __future__ import annotations

from clair_stats.theory import Certificate, instance_certificate
from simulations.regimes.instance import Instance

__all__ = ["certificate_of"]


def certificate_of(instance: Instance) -> Certificate:
    """Of the exact targets at the instance's own penalty, with or without M as it was drawn.

    Parameters
    ----------
    instance : Instance
        With ``block_penalty`` and ``common_component`` among its extras.

    Returns
    -------
    Certificate
    """
    return instance_certificate(
        instance.targets,
        basis=instance.basis,
        collaborative_set=instance.collaborative_set,
        block_penalty=instance.extras["block_penalty"],
        common_component=instance.extras["common_component"],
    )
