"""The claims on regimes with a real fit: every statement of theory_checks/regimes on every design that sweeps one."""

from __future__ import annotations

from simulations.studies import regime_designs
from simulations.studies._regime_design import DesignSection, RegimeDesign
from theory_checks.claim import Claim, Sabotage, Setting
from theory_checks.regimes.statement import Statement
from theory_checks.regimes.statements import STATEMENTS

__all__ = ["CLAIMS"]

_COUNTED = ("separated", "not_converged")  # clients, reported beside the verdicts on the local law


def _sabotage(statement: Statement, design: RegimeDesign) -> Sabotage:
    """A false rule, or the departure that the design names as this claim's control.

    Raises
    ------
    ValueError
        The design names none, or one that it does not have.
    """
    if statement.false_rule is not None:
        name, description, rule = statement.false_rule
        return Sabotage(name=name, description=description, rule=rule(design))
    label = design.controls.get(statement.identifier)
    section = next((s for s in design.sections() if s.is_departure and s.label == label), None)
    if section is None:
        raise ValueError(f"{design.name}: claim {statement.identifier} needs a departure as control, {label!r} is none")
    return Sabotage(
        name="-".join("".join(c if c.isalnum() else " " for c in section.label.lower()).split()),
        description=f"the setting {section.label!r} of {section.variant!r}, where the claim is certain to be false",
        cells=section.cells_of(statement.part),
        section=section.variant,
        setting=section.label,
    )


def _settings(statement: Statement, design: RegimeDesign, sabotage: Sabotage) -> tuple[Setting, ...]:
    """Every section of the statement's kinds but the control."""

    def is_control(section: DesignSection) -> bool:
        return section.is_departure and section.label == sabotage.setting

    return tuple(
        Setting(section.variant, section.label, section.cells_of(statement.part), position, section.is_departure)
        for position, section in enumerate(design.sections())
        if section.kind in statement.kinds and not is_control(section)
    )


def _claim(statement: Statement, design: RegimeDesign) -> Claim:
    sabotage = _sabotage(statement, design)
    settings = _settings(statement, design, sabotage)
    return Claim(
        identifier=statement.identifier,
        theorem=statement.theorem,
        title=statement.title,
        statement=statement.statement,
        source="docs/regimes.md; theory.md sections 4, 5 and 7",
        assumptions=(),
        statistic=statement.statistic,
        rule=statement.rule(design),
        cells=tuple(cell for setting in settings for cell in setting.cells),
        replications={effort: design.replications_at(effort) for effort in ("quick", "standard", "full")},
        sabotage=sabotage,
        design=design,
        settings=settings,
        counted=_COUNTED,
    )


CLAIMS = tuple(_claim(statement, design) for design in regime_designs().values() for statement in STATEMENTS)
