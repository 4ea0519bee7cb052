"""The rotary settings of config.json in both spellings: `rope_parameters` (Transformers 5), `rope_theta` and more (4).

A config.json with one spelling only is misread by the other version, without an error; so both are written.
"""

import math
from typing import Any

from prospero.errors import DataError
from prospero.interop.keys import Keys
from prospero.log import log
from prospero.model.layers.rotary import RopeScalingConfig, Scaling
from prospero.printable import printable


def read_rope(keys: Keys, *, theta: float = 10000.0, partial: float = 1.0) -> dict[str, Any]:
    """Return our settings rope_theta, rope_scaling, `rotary_ratio`, and max_seq_len where the scaling bounds it.

    `theta` and `partial` are what their class takes when nothing is said.
    """
    old = {
        "rope_theta": keys.take("rope_theta", keys.take("rotary_emb_base", None)),
        "partial_rotary_factor": keys.take("partial_rotary_factor", keys.take("rotary_pct", None)),
    }
    scaling = keys.take("rope_scaling", None)
    new = keys.take("rope_parameters", None)
    keys.take("original_max_position_embeddings", None)
    for name, value in (("rope_scaling", scaling), ("rope_parameters", new)):
        if value is not None and not isinstance(value, dict):
            raise DataError(f"{keys.place} says {name}={printable(str(value)[:40])}; a table belongs there")
    said = {**old, **(scaling or {}), **(new or {})}
    for name, value in old.items():
        if value is not None and new is not None and new.get(name, value) != value:
            raise DataError(f"{keys.place} says {name}={value}, and {new[name]} in rope_parameters; which is right?")
    return {
        "rope_theta": float(said["rope_theta"] or theta),
        "rotary_ratio": float(said["partial_rotary_factor"] or partial),
        **_read_scaling(said, keys),
    }


def _read_scaling(said: dict[str, Any], keys: Keys) -> dict[str, Any]:
    kind = said.get("rope_type") or said.get("type") or "default"
    known = {"rope_theta", "partial_rotary_factor", "rope_type", "type"}
    original = said.get("original_max_position_embeddings") or keys.values.get("original_max_position_embeddings")
    longest = keys.values.get("max_position_embeddings")
    bound: dict[str, Any] = {}
    if kind == "default":
        scaling, own = RopeScalingConfig(), {"factor"} if said.get("factor") == 1 else set()
    elif kind == "linear":
        scaling, own = RopeScalingConfig(kind=Scaling.linear, factor=float(said["factor"])), {"factor"}
    elif kind == "dynamic":
        # It begins beyond max_position_embeddings, and ours ends there.
        log.info("rope_scaling=dynamic changes nothing up to %s tokens; longer texts are not read", longest)
        scaling, own = RopeScalingConfig(), {"factor", "original_max_position_embeddings"}
    elif kind == "llama3":
        own = {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}
        scaling = RopeScalingConfig(
            kind=Scaling.llama3,
            factor=float(said["factor"]),
            low_freq_factor=float(said["low_freq_factor"]),
            high_freq_factor=float(said["high_freq_factor"]),
            original_max_seq_len=int(original or 0),
        )
    elif kind == "yarn":
        own = {"factor", "beta_fast", "beta_slow", "attention_factor", "original_max_position_embeddings"}
        scaling = RopeScalingConfig(
            kind=Scaling.yarn,
            factor=float(said["factor"]),
            beta_fast=float(said.get("beta_fast") or 32),
            beta_slow=float(said.get("beta_slow") or 1),
            original_max_seq_len=int(original or longest or 0),
            magnitude=said.get("attention_factor"),
        )
    elif kind in ("longrope", "su"):
        own = {"short_factor", "long_factor", "factor", "attention_factor", "original_max_position_embeddings"}
        own |= {"short_mscale", "long_mscale"} if said.get("short_mscale") is None else set()
        scaling, bound = _read_long(said, int(original or longest or 0), int(longest or 0))
    else:
        raise DataError(f"{keys.place} says rope_type={printable(str(kind))}, which Prospero does not know")
    odd = sorted(name for name, value in said.items() if value is not None and name not in known | own)
    if odd:
        raise DataError(f"{keys.place} says {odd[0]}={said[odd[0]]} for rope_type={kind}, which Prospero does not know")
    return {"rope_scaling": scaling, **bound}


def _read_long(said: dict[str, Any], original: int, longest: int) -> tuple[RopeScalingConfig, dict[str, Any]]:
    """longrope has one table up to the original length and another beyond: ours is the first, and ends there."""
    short = [float(value) for value in said["short_factor"]]
    if short == [float(value) for value in said["long_factor"]]:
        original_bound: dict[str, Any] = {}
    else:
        log.info(
            "rope_scaling=longrope: the model reads %s tokens at once, those of its short factors", f"{original:,}"
        )
        original_bound = {"max_seq_len": original}
    factor = said.get("factor") or longest / original
    magnitude = said.get("attention_factor")
    if magnitude is None:
        magnitude = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    return RopeScalingConfig(kind=Scaling.table, divisors=short, magnitude=float(magnitude)), original_bound


def write_rope(theta: float, scaling: RopeScalingConfig, *, max_seq_len: int, partial: float = 1.0) -> dict[str, Any]:
    """Return the keys of both spellings."""
    table = _scaling_keys(scaling, max_seq_len)
    new = {"rope_theta": theta, **(table or {"rope_type": "default"})}
    old: dict[str, Any] = {"rope_theta": theta, "rope_scaling": table}
    if partial != 1.0:
        new["partial_rotary_factor"] = old["partial_rotary_factor"] = partial
    if scaling.kind is Scaling.table:
        old["original_max_position_embeddings"] = max_seq_len
    return {**old, "rope_parameters": new}


def _scaling_keys(s: RopeScalingConfig, max_seq_len: int) -> dict[str, Any] | None:
    if s.kind is Scaling.none:
        return None
    if s.kind is Scaling.linear:
        return {"rope_type": "linear", "factor": s.factor}
    if s.kind is Scaling.table:
        return {
            "rope_type": "longrope",
            "short_factor": s.divisors,
            "long_factor": s.divisors,
            "attention_factor": s.size,
            "original_max_position_embeddings": max_seq_len,
        }
    common = {"factor": s.factor, "original_max_position_embeddings": s.original_max_seq_len}
    if s.kind is Scaling.llama3:
        return {
            "rope_type": "llama3",
            **common,
            "low_freq_factor": s.low_freq_factor,
            "high_freq_factor": s.high_freq_factor,
        }
    return {
        "rope_type": "yarn",
        **common,
        "beta_fast": s.beta_fast,
        "beta_slow": s.beta_slow,
        "attention_factor": s.size,
    }
