"""Files about people that a company imports, told to the model, too."""

from decisioning.times import iso
from tests.stateful.case import Case


def import_files(case: Case, person: str, granted: str, ago_s: float) -> None:
    """Write and import files about a person: a consent, a nickname, and a call that offered an account something.

    The files are the company's own, so they are deleted again.
    """
    token, call, note = case.token(), case.token(), case.token()
    told_us, action = case.told(ago_s) or 0, "family"
    folder = case.company.root / "files"
    folder.mkdir(exist_ok=True)
    customer, told, account = case.id_of(person), iso(told_us), case.id_of("account:1")
    (folder / "optins.csv").write_text(f"customer,told,nickname,optin\n{customer},{told},{token},{granted}\n")
    (folder / "calls.csv").write_text(
        f"customer,told,account,note,what,call\n{customer},{told},{account},{note},{action},{call}\n"
    )
    case.name("account:1")
    case.company.do(("do", "load", str(folder)), case.by)
    for file in folder.iterdir():
        file.unlink()
    if person in case.model.erased:
        return
    model, now_us, about = case.model, case.now_us, {"purpose": "marketing", "channel": "*"}
    model.tell(person, "consent", now_us, told_us, **about, status="granted" if granted == "Y" else "refused")
    model.tell(person, "filed", now_us, told_us, token, nickname=token)
    model.tell(person, "note", now_us, told_us, note)
    offer = f"crm:{call}"
    model.tell(person, "named", now_us, account="account:1")
    for subject, own in ((person, call), *([("account:1", "")] if "account:1" not in model.erased else [])):
        seen = {"offer": offer, "action": action, "channel": "web", "until_us": 0}
        model.tell(subject, "contact", now_us, told_us, own, **seen)
        model.tell(subject, "state", now_us, told_us, state="seen", offer=offer)
