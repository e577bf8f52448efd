"""The theorems of docs/theory.md, evaluated on an instance: assumptions, promises and constants."""

from clair_stats.theory.accepted import AcceptedSets, accepted_sets
from clair_stats.theory.accepted_error import AcceptedSetError, accepted_set_error
from clair_stats.theory.certificate import Certificate, instance_certificate
from clair_stats.theory.consistency import ThresholdWindow, detection_scores, threshold_window
from clair_stats.theory.detection_limit import detection_limit, detection_reach
from clair_stats.theory.gain import OracleGain, oracle_gain, refinement_error, refinement_heterogeneity, subspace_cost
from clair_stats.theory.guarantee import SetGuarantee, chi_square_tolerances, set_guarantee
from clair_stats.theory.high_probability import StableRecovery, noise_radius, stable_recovery, threshold_interval
from clair_stats.theory.leverage import block_leverages, incoherence, leverage, orthonormal_coefficients
from clair_stats.theory.oracle import OracleSolution, solve_oracle
from clair_stats.theory.recovery import (
    RecoveryCondition,
    certificate_bounds,
    penalty_range,
    recovery_condition,
    tolerable_share,
)
from clair_stats.theory.rigorous import RigorousCertificate, rigorous_certificate
from clair_stats.theory.rigorous_gap import RigorousGap, rigorous_gap
from clair_stats.theory.span import SpanWindow, span_window
from clair_stats.theory.stability import (
    StabilityTerms,
    posterior_error_bound,
    solution_error_bound,
    stability_constant,
    stability_terms,
)
from clair_stats.theory.subsets import SubsetMargin, subset_margin
from clair_stats.theory.subspace_limit import subspace_limit

__all__ = [
    "AcceptedSetError",
    "AcceptedSets",
    "Certificate",
    "OracleGain",
    "OracleSolution",
    "RecoveryCondition",
    "RigorousCertificate",
    "RigorousGap",
    "SetGuarantee",
    "SpanWindow",
    "StabilityTerms",
    "StableRecovery",
    "SubsetMargin",
    "ThresholdWindow",
    "accepted_set_error",
    "accepted_sets",
    "block_leverages",
    "certificate_bounds",
    "chi_square_tolerances",
    "detection_limit",
    "detection_reach",
    "detection_scores",
    "incoherence",
    "instance_certificate",
    "leverage",
    "noise_radius",
    "oracle_gain",
    "orthonormal_coefficients",
    "penalty_range",
    "posterior_error_bound",
    "recovery_condition",
    "refinement_error",
    "refinement_heterogeneity",
    "rigorous_certificate",
    "rigorous_gap",
    "set_guarantee",
    "solution_error_bound",
    "solve_oracle",
    "span_window",
    "stability_constant",
    "stability_terms",
    "stable_recovery",
    "subset_margin",
    "subspace_cost",
    "subspace_limit",
    "threshold_interval",
    "threshold_window",
    "tolerable_share",
]
