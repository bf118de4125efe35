"""A catalogue of the size that the goals assume: 100 actions on one channel, 30 policies, 60 model features.

Every rule is evaluated and passes for every customer, so that all 100 candidates are scored in every decision.
"""

import yaml

N_ACTIONS, N_POLICIES, N_LEARNED = 100, 30, 60
N_GROUPS = 20
CHANNEL = "web"
PLACEMENTS = [{"name": "hero", "limit": 1}, {"name": "sidebar", "limit": 2}]

NAMED = ("age", "monthly_fee_eur", "tenure_months", "arrears_eur")
FLAGS = ("hardship", "vulnerable", "open_complaint", "in_arrears", "bereaved")
LEARNED: tuple[str, ...] = (*NAMED, *(f"usage_{i:02d}" for i in range(N_LEARNED - len(NAMED))))
"""The model's features, all numeric, so that each is one column."""


def action_id(n: int) -> str:
    """Return an id; the alphabetical order of ids is that of their numbers."""
    return f"action-{n:03d}"


def group_of(n: int) -> str:
    """Return the group of action `n`."""
    return f"group-{n % N_GROUPS:02d}"


def files(n_policies: int = N_POLICIES, n_actions: int = N_ACTIONS) -> dict[str, str]:
    """Return path below catalogue/ -> YAML."""
    policies = _policies(n_policies, min(N_GROUPS, n_actions))
    sections = {
        "settings": _settings(),
        "features": _features(),
        "signals": _signals(),
        "actions": _actions(n_actions),
        "policies": policies,
    }
    return {f"{name}.yaml": yaml.safe_dump(section, sort_keys=False) for name, section in sections.items()}


def _settings() -> dict[str, object]:
    return {
        "settings": {"locales": ["en", "nl"], "age_feature": "age", "max_per_group": 1, "priors": {"default": 0.02}},
        "purposes": [
            {"id": "marketing", "notice_version": "2026-01", "max_age_days": 730},
            {"id": "profiling", "notice_version": "2026-01"},
        ],
        "channels": [
            {
                "id": CHANNEL,
                "direction": "inbound",
                "placements": [p["name"] for p in PLACEMENTS],
                "counts_on": "decided",
                "reservation_s": 3600,
                "gamma": 1000,
            }
        ],
    }


def _features() -> dict[str, object]:
    learned = [{"name": name, "dtype": "int" if name == "age" else "float"} for name in LEARNED]
    learned[1]["unit"] = "EUR"
    flags = [{"name": name, "dtype": "bool", "model_input": False} for name in FLAGS]
    page = {"name": "page", "dtype": "enum", "source": "context", "values": ["home", "paid-tv"], "model_input": False}
    return {"features": [*learned, *flags, page]}


def _signals() -> dict[str, object]:
    """Return one signal type and features of every kind over it."""
    fields = [{"name": "page", "dtype": "string", "required": True}, {"name": "seconds", "dtype": "float", "unit": "s"}]
    computes: dict[str, tuple[str, dict[str, object]]] = {
        "tv_views_30s": ("int", {"compute": "count", "window": "30s", "where": {"page": "paid-tv"}}),
        "views_24h": ("int", {"compute": "count", "window": "24h"}),
        "seconds_7d": ("float", {"compute": "sum", "field": "seconds", "window": "7d"}),
        "pages_24h": ("int", {"compute": "distinct", "field": "page", "window": "24h"}),
        "last_page": ("string", {"compute": "last", "field": "page"}),
        "view_heat": ("float", {"compute": "intensity", "half_life_s": 3600}),
        "since_view_s": ("float", {"compute": "seconds_since"}),
        "session_views": ("int", {"compute": "session_events"}),
    }
    return {
        "signals": [{"id": "page-view", "retention_days": 30, "fields": fields}],
        "features": [
            {
                "name": name,
                "dtype": dtype,
                "source": "signal",
                "model_input": False,
                "signal": {"of": "page-view", **signal},
            }
            for name, (dtype, signal) in computes.items()
        ],
    }


def _actions(count: int) -> dict[str, object]:
    return {"actions": [_action(n) for n in range(count)]}


def _action(n: int) -> dict[str, object]:
    by_customer = {"expression": f"monthly_fee_eur * {3 + n % 10}", "typical": 150}
    text = {
        "en": {"title": f"Offer {n} for {{monthly_fee_eur}} a month"},
        "nl": {"title": f"Aanbod {n} voor {{monthly_fee_eur}} per maand"},
    }
    return {
        "id": action_id(n),
        "issue": ("grow", "grow", "retain", "nurture")[n % 4],
        "group": group_of(n),
        "tier": "commercial",
        "value": by_customer if n % 2 else 50 + n,
        "cost": 0.1,
        "price_eur": 10,
        "context_weights": [{"when": 'page == "paid-tv"', "factor": 1.2}] if n % 5 == 0 else [],
        "suppress": [{"after": "declined", "days": 90}, {"after": "accepted"}],
        "treatments": [
            {"id": CHANNEL, "channel": CHANNEL, "placements": [p["name"] for p in PLACEMENTS], "content": text}
        ],
    }


def _policies(count: int, n_groups: int) -> dict[str, object]:
    everyone = [
        {"id": "adults-only", "level": "eligibility", "attach": "all", "permit": "age >= 18"},
        {"id": "no-debt", "level": "suitability", "attach": "all", "deny": "default(arrears_eur, 0.0) > 50.0"},
        {
            "id": "tired-of-it",
            "level": "contact",
            "attach": {"group": group_of(0)},
            "deny": 'history(action, "declined", "365d") >= 3',
        },
    ]
    return {
        "policies": [*everyone, *(_policy(n, n_groups) for n in range(count - len(everyone)))],
        "protections": [
            {"id": "hardship", "kind": "hardship", "when": "hardship"},
            {"id": "vulnerable", "kind": "vulnerability", "when": "vulnerable"},
            {"id": "complaint", "kind": ["complaint", "service-issue"], "when": "open_complaint"},
            {"id": "arrears", "kind": "arrears", "when": "in_arrears"},
            {"id": "bereavement", "kind": "bereavement", "when": "bereaved"},
        ],
        "caps": [
            {"id": "per-action", "count": "action", "limit": 500, "window_days": 7},
            {"id": "per-group", "count": "group", "limit": 500, "window_days": 30},
            {"id": "in-all", "count": "customer", "limit": 5000, "window_days": 30},
        ],
    }


def _policy(n: int, n_groups: int) -> dict[str, object]:
    """Return a permit or a deny for all actions, a group or an issue; every customer of this world passes it."""
    usage = LEARNED[len(NAMED) :]
    feature, other = usage[n % len(usage)], usage[(n + 27) % len(usage)]
    attach: object = ("all", {"group": group_of(n % n_groups)}, {"issue": ["grow", "retain"]})[n % 3]
    level = ("eligibility", "applicability", "suitability")[n % 3]
    if n % 2:
        return {"id": f"deny-{n:02d}", "level": level, "attach": attach, "deny": f"{feature} > 100.0 && {other} > 0.0"}
    permit = f"{feature} > -100.0 && (tenure_months >= 0.0 || {other} < 100.0)"
    return {"id": f"permit-{n:02d}", "level": level, "attach": attach, "permit": permit}
