"""How right the attribution was: what was decided against the truth it was simulated from. Pure counting.

`accuracy` takes the installs mart alone, of either world. `full_accuracy` takes every mart that decides, of the
full world: per way of matching, fraud, returns, and a table of what was taken for what.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

ORGANIC = "organic"
DETERMINISTIC = ("referrer", "click_id", "device_id")
PROBABILISTIC = "probabilistic"
FLOODING, INJECTION, FARM = "click_flooding", "injection", "device_farm"
REJECTIONS = ("injection", "hyper_engagement", "blocked_ip")
WRONGLY_FLAGGED = ("honest_publishers_flagged", "honest_publisher_days_flagged")
JUDGED_INSTALLS = 20  # of a publisher on a day; of fewer no share says anything (fraud_daily judges none)


@dataclass(frozen=True)
class Decided:
    """Rows of the marts, each None where it was not built.

    `installs` and `touch_decisions` are always there; of `fraud_daily` and `install_flags` either both or none.
    """

    installs: pl.DataFrame
    touch_decisions: pl.DataFrame
    reengagements: pl.DataFrame | None = None
    fraud_daily: pl.DataFrame | None = None
    install_flags: pl.DataFrame | None = None


def accuracy(truth: pl.DataFrame, decided: pl.DataFrame) -> dict[str, float | int]:
    """Precision and recall of deterministic credit, and recall of organic installs.

    Args:
        truth: `install_id`, `true_match` (click, view or organic) and `true_touch_id` of every simulated install;
            where `is_reinstall` says so an install is no new one, and left out.
        decided: `install_id` and `touch_id` (empty when organic) of the mart.

    Returns:
        Counts, and shares between 0 and 1. Credit is right only if it went to the very touch that caused the
        install, not merely to its campaign.
    """
    new = truth.filter(~pl.col("is_reinstall")) if "is_reinstall" in truth.columns else truth
    joined = new.join(decided.select("install_id", "touch_id"), on="install_id", how="left")
    caused = pl.col("true_match") != ORGANIC
    credited = pl.col("touch_id").fill_null("") != ""
    right = caused & (pl.col("touch_id") == pl.col("true_touch_id"))
    counts = joined.select(
        installs=pl.len(),
        decided=pl.col("touch_id").is_not_null().sum(),
        caused=caused.sum(),
        credited=credited.sum(),
        right=right.fill_null(value=False).sum(),
        organic=(~caused).sum(),
        organic_right=(~caused & ~credited & pl.col("touch_id").is_not_null()).sum(),
    ).row(0, named=True)
    return {
        **counts,
        "deterministic_precision": _share(counts["right"], counts["credited"]),
        "deterministic_recall": _share(counts["right"], counts["caused"]),
        "organic_recall": _share(counts["organic_right"], counts["organic"]),
    }


def full_accuracy(truth: dict[str, pl.DataFrame], decided: Decided) -> dict[str, float]:
    """Shares between 0 and 1, by name; figures of marts that were not built are left out.

    Precision and recall are of credit that stands: an install of a publisher that is flagged for flooding, or that is
    flagged itself, is credit that the platform disowns. Disowned credit counts in no precision; where a flooder
    indeed took it, it is right in organic recall and left out of the others, else it is wrong. The `gross_` figures are
    those of the waterfall alone, flooding's thefts counted as errors.
    """
    cases = install_cases(truth, decided)
    figures = matching_figures(cases.with_columns(disowned=False), "gross_")
    figures |= matching_figures(cases, "")
    figures["injection_recall"] = _injection_recall(truth["touches"], decided.touch_decisions)
    figures["reinstall_recall"] = _reinstall_recall(truth["installs"], decided.installs)
    if decided.reengagements is not None:
        figures |= return_figures(truth["conversions"], decided.reengagements)
    if decided.fraud_daily is not None:
        publishers = flagged_publishers(decided.fraud_daily, decided.installs)
        figures |= publisher_figures(truth["publishers"], publishers)
    accused = _honest_accused(truth, decided, cases)
    figures["honest_installs_accused"] = accused
    wrongly = [accused, *(figures.get(name, 0.0) for name in WRONGLY_FLAGGED)]
    return {**figures, "fraud_false_positive_rate": max(wrongly)}


def install_cases(truth: dict[str, pl.DataFrame], decided: Decided) -> pl.DataFrame:
    """One row per true new install: the truth, what was decided, whether it is right, stolen or disowned."""
    thefts = truth["touches"].select(pl.col("touch_id"), stolen_by=pl.col("fraud_kind"))
    cases = (
        truth["installs"]
        .filter(~pl.col("is_reinstall"))
        .join(
            decided.installs.select(
                "install_id", "event_date", "match_type", "touch_type", "touch_id", "source"
            ),
            on="install_id",
            how="left",
            suffix="_decided",
        )
        .join(thefts, on="touch_id", how="left")
        .with_columns(
            pl.col("true_touch_id", "touch_id", "stolen_by").fill_null(""),
            pl.col("match_type").fill_null("missing"),
        )
    )
    return cases.with_columns(
        is_right=pl.col("true_touch_id") == pl.col("touch_id"),
        stolen=pl.col("stolen_by") == FLOODING,
        disowned=_disowned(decided),
    )


def matching_figures(cases: pl.DataFrame, prefix: str) -> dict[str, float]:
    """Precision and recall per way of matching, and of organic installs."""
    people = cases.filter(pl.col("fraud_kind") != FARM)
    standing = ~pl.col("disowned")
    honoured = people.filter(~(pl.col("disowned") & pl.col("stolen")))
    figures = {}
    for name, kinds in (("deterministic", DETERMINISTIC), ("probabilistic", (PROBABILISTIC,))):
        credited = cases.filter(standing & pl.col("match_type").is_in(kinds))
        caused = honoured.filter(pl.col("match_kind").is_in(kinds))
        figures[f"{prefix}{name}_precision"] = _mean(credited, pl.col("is_right"))
        figures[f"{prefix}{name}_recall"] = _mean(caused, standing & pl.col("is_right"))
    organic = people.filter(pl.col("true_match") == ORGANIC)
    handled = (pl.col("match_type") == ORGANIC) | (pl.col("disowned") & pl.col("stolen"))
    return {**figures, f"{prefix}organic_recall": _mean(organic, handled)}


def return_figures(truth: pl.DataFrame, reengagements: pl.DataFrame) -> dict[str, float]:
    """Precision and recall of the touch behind re-attributions and re-engagements."""
    by_touch = ("re_attribution", "re_engagement")
    caused = truth.filter(pl.col("conversion_type").is_in(by_touch))
    credited = reengagements.filter(pl.col("touch_id") != "")
    right = caused.join(
        credited.select("conversion_id", "conversion_type", true_touch_id="touch_id"),
        on=["conversion_id", "conversion_type", "true_touch_id"],
    )
    return {
        "return_precision": _share(right.height, credited.height),
        "return_recall": _share(right.height, caused.height),
    }


def publisher_figures(truth: pl.DataFrame, publishers: pl.DataFrame) -> dict[str, float]:
    """Flooding found, and honest publishers taken for flooders: by publisher, and by the days it could be judged."""
    judged = publishers.join(truth, on="source")
    flooding = judged.filter(pl.col("fraud_kind") == FLOODING)
    honest = judged.filter(pl.col("fraud_kind") != FLOODING)
    return {
        "flooding_recall": _mean(flooding, pl.col("flagged")),
        "flooding_day_recall": _flagged_days(flooding, of_none=1.0),
        "honest_publishers_flagged": 1 - _mean(honest, ~pl.col("flagged")),
        "honest_publisher_days_flagged": _flagged_days(honest, of_none=0.0),
    }


def _flagged_days(publishers: pl.DataFrame, of_none: float) -> float:
    days, flagged = (sum(publishers[name].to_list()) for name in ("days", "days_flagged"))
    return flagged / days if days else of_none


def flagged_publishers(fraud_daily: pl.DataFrame, installs: pl.DataFrame) -> pl.DataFrame:
    """Publishers of an app: `days` with enough installs to judge, `days_flagged` of them, `flagged` on most of them.

    People act on a publisher, not on a day of it: it is flagged when half of its days are.
    """
    is_flooding = (pl.col("rule") == FLOODING) & (pl.col("verdict") == "flagged")
    flags = fraud_daily.filter(is_flooding).select("event_date", "app_id", "source", found=pl.lit(value=True))
    days = (
        installs.filter(pl.col("touch_id") != "")
        .group_by("event_date", "app_id", "source")
        .len()
        .filter(pl.col("len") >= JUDGED_INSTALLS)
        .join(flags, on=["event_date", "app_id", "source"], how="left")
    )
    return (
        days.group_by("app_id", "source")
        .agg(days=pl.len(), days_flagged=pl.col("found").fill_null(value=False).sum())
        .with_columns(flagged=pl.col("days_flagged") * 2 >= pl.col("days"))
        .sort("app_id", "source")
    )


def confusion(cases: pl.DataFrame) -> pl.DataFrame:
    """Installs by what was true and what was decided: match kinds, `!` where the credit went to another touch."""
    view = pl.when(pl.col("true_match") == "view").then(pl.lit("view by device_id"))
    true = view.when(pl.col("match_kind") == "").then(pl.lit(ORGANIC)).otherwise(pl.col("match_kind"))
    attempted = pl.when(pl.col("fraud_kind") == "").then(pl.lit("")).otherwise(" + " + pl.col("fraud_kind"))
    by_view = pl.when(pl.col("touch_type") == "impression").then("view by " + pl.col("match_type"))
    wrong = pl.when(pl.col("is_right")).then(pl.lit("")).otherwise(pl.lit("!"))
    return (
        cases.select(
            true=true + attempted,
            decided=by_view.otherwise(pl.col("match_type")) + wrong,
            stolen=pl.col("stolen_by"),
        )
        .group_by("true", "decided", "stolen")
        .agg(installs=pl.len())
        .sort("true", "installs", "decided", "stolen", descending=[False, True, False, False])
    )


def plain_confusion(truth: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """`confusion` of the plain world, whose truth knows clicks and views but no kinds of matches and no fraud.

    Args:
        truth: `install_id`, `true_match` and `true_touch_id` of every simulated install.
        decided: `install_id`, `touch_id`, `touch_type` and `match_type` of the mart.
    """
    joined = truth.select("install_id", "true_match", "true_touch_id").join(
        decided, on="install_id", how="left"
    )
    is_right = pl.col("true_touch_id").fill_null("") == pl.col("touch_id").fill_null("")
    by_view = pl.when(pl.col("touch_type") == "impression").then("view by " + pl.col("match_type"))
    wrong = pl.when(is_right | pl.col("match_type").is_null()).then(pl.lit("")).otherwise(pl.lit("!"))
    return (
        joined.select(
            true=pl.col("true_match"),
            decided=by_view.otherwise(pl.col("match_type").fill_null("missing")) + wrong,
            stolen=pl.lit(""),
        )
        .group_by("true", "decided", "stolen")
        .agg(installs=pl.len())
        .sort("true", "installs", "decided", descending=[False, True, False])
    )


def _disowned(decided: Decided) -> pl.Expr:
    """Whether the platform itself says that the credit of an install is not to be trusted."""
    if decided.fraud_daily is None or decided.install_flags is None:
        return pl.lit(value=False)
    publishers = flagged_publishers(decided.fraud_daily, decided.installs).filter("flagged")
    of_flooder = [
        (pl.col("app_id") == app_id) & (pl.col("source_decided") == source)
        for app_id, source in publishers.select("app_id", "source").iter_rows()
    ]
    flagged = pl.col("install_id").is_in(decided.install_flags["install_id"].to_list())
    return pl.any_horizontal(flagged, *of_flooder).fill_null(value=False)


def _injection_recall(touches: pl.DataFrame, decisions: pl.DataFrame) -> float:
    """Share of injected clicks that were rejected as such."""
    injected = touches.filter(pl.col("fraud_kind") == INJECTION)
    rejected = decisions.filter(pl.col("verdict") == INJECTION)["touch_id"].to_list()
    return _mean(injected, pl.col("touch_id").is_in(rejected))


def _reinstall_recall(truth: pl.DataFrame, installs: pl.DataFrame) -> float:
    """Share of reinstalls that are not taken for new installs."""
    new = installs["install_id"].to_list()
    return _mean(truth.filter(pl.col("is_reinstall")), ~pl.col("install_id").is_in(new))


def _honest_accused(truth: dict[str, pl.DataFrame], decided: Decided, cases: pl.DataFrame) -> float:
    """Share of installs nobody reached for that are flagged, or whose own touch was rejected as fraud."""
    rejected = decided.touch_decisions.filter(pl.col("verdict").is_in(REJECTIONS))["touch_id"].to_list()
    honest = cases.filter(pl.col("fraud_kind") == "")
    fraudulent = truth["publishers"].filter(pl.col("fraud_kind") != "")["source"].to_list()
    of_fraud = pl.col("source_decided").fill_null("").is_in(fraudulent)
    accused = (pl.col("disowned") & ~of_fraud) | pl.col("true_touch_id").is_in(rejected)
    return 1 - _mean(honest, ~accused)


def _mean(rows: pl.DataFrame, condition: pl.Expr) -> float:
    """Share of rows for which it holds; 1 of none."""
    return _share(int(rows.select(condition.fill_null(value=False).sum()).item()), rows.height)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
