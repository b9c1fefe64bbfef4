r"""What is a secret, what is personal: one rule each, in the order in which they are applied.

Read by incidents/redaction.py alone; pure data and small checks. A rule's group `v` or `w`, or its
whole match, is replaced. What carries structure (a PEM block, a JWT) goes before what is only a
run of signs. Repetitions that could overlap are bounded: a hostile line must not cost quadratic
time. `signs`: a line without any of them cannot match, and the pattern never sees it.
"""

import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from incidents import checkdigits
from incidents.redaction_lines import Sign, View


@dataclass(frozen=True)
class Rule:
    """A kind of value; `check` says whether what was found is one."""

    kind: str
    pattern: re.Pattern[str]
    signs: tuple[Sign, ...]
    check: Callable[[str], bool] = lambda _: True
    reach: int = 0  # how many further lines with something in them a match may go over


def _signs(view: View, *texts: str) -> tuple[Sign, ...]:
    return tuple(Sign(view, text) for text in texts)


def _rule(kind: str, pattern: str, *texts: str) -> Rule:
    return Rule(kind, re.compile(pattern), _signs(View.TEXT, *texts))


def _token(kind: str, pattern: str, *texts: str) -> Rule:
    """Return the rule of a token that has a long run of letters, digits, `_` and `-` in it."""
    return Rule(kind, re.compile(pattern), _signs(View.LONG, *texts))


# A name and the sign after it, and a value after that: in quotes, or up to the next sign that ends
# it. Apart, since a value may hold a name in turn, as in `url: a?token=b`.
NAMED = re.compile(
    # Possessive: a shorter name would be followed by one of its own signs, never by the sign after.
    r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9_.-]{1,99}+)\\?[\"']?([ \t]*+(?:=>|:=|=|:)[ \t]*)"
)
VALUE = re.compile(
    r"\\?\"(?P<v>[^\"\\\n]{1,4096})\\?\"|'(?P<w>[^'\n]{1,4096})'"
    r"|(?P<x>[^\s\"',;&)(\]}\[{<][^\s\"',;&)(\]}\[{<]{0,4095})(?P<call>[(\[])?"
)
_NAMES = (
    r"(?:[a-z0-9]{1,40}[_.-]){0,6}(?:password|passwd|passphrase|passwort|passcode|secret"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|encryption[_-]?key|signing[_-]?key"
    r"|shared[_-]?access[_-]?(?:key|signature)|auth[_-]?token|access[_-]?token|refresh[_-]?token"
    r"|session[_-]?token|security[_-]?token|id[_-]?token|secret[_-]?key|client[_-]?secret|token|pwd"
    r"|credentials?|x-amz-signature|x-goog-signature|connection[_-]?string)"
)
SECRET_NAME = re.compile(rf"(?i)\A{_NAMES}\Z")
# Words that stand after "token:" in a sentence, and types that stand there in code.
_PLAIN = """
accepted absent actual added allowed already another any are auth authentication authorization
available bad been before being boolean bytes cannot changed checked class created deleted denied
disabled does empty enabled encrypted error exists expected expires expired failed false field
file found generated given hidden ignored incorrect int integer invalid invalidated issued key
length login lookup loaded malformed masked match matched mismatch missing must name needed never
none not null number object obtained ok okay omitted option optional parameter passed password
provided random read received redacted refresh refreshed refused rejected removed renewed replaced
required reset response revoked rotated secret secretstr sent should shown skipped stale stored
str string success tokenized true type unauthorized unchanged undefined unexpected unknown unset
unused updated used user valid validated validation value verified was will with wrong yes
"""
_PLAIN_WORDS = frozenset(_PLAIN.split())
_CODE = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+|self|cls|this|\w*\.\.\."
)
_REFERENCE = re.compile(
    r"[$<{*%@!]|\\[nrt]|(?:/[a-z][\w.-]*){2,}/?\Z|(?:none|null|true|false|redacted|x{4,})\b",
    re.IGNORECASE,
)


def is_secret(text: str) -> bool:
    """Return whether a value is not a reference to a secret, such as `$DB_PASSWORD`, or a word."""
    return not (_REFERENCE.match(text) or text.lower().rstrip(".!?:") in _PLAIN_WORDS)


def is_code(sign: str, value: re.Match[str]) -> bool:
    """Return whether what stands bare after a name is an expression of a program, not a value."""
    bare = value["x"]
    if not bare:
        return False
    spaced = sign.strip() == "=" != sign
    return bool(value["call"] or _CODE.fullmatch(bare) or (spaced and bare.isalpha()))


def _bare(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)


def _is_card(text: str) -> bool:
    return checkdigits.card(_bare(text))


def _is_iban(text: str) -> bool:
    bare = _bare(text)
    return 15 <= len(bare) <= 34 and checkdigits.iban(bare.upper())


def _is_phone(text: str) -> bool:
    return 9 <= len(re.sub(r"\D", "", text)) <= 15


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Loopback and "any" are nobody's address, and links to the war room must keep working.
    return not (address.is_loopback or address.is_unspecified)


def _is_ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    return not (area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000")


# Over as many lines as it takes, so before a text is looked at by lines.
PEM = _rule(
    "private-key",
    r"(?s)-----BEGIN (?P<t>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----"
    r".*?(?:-----END (?P=t)-----|\Z)",
    "PRIVATE KEY",
)
SECRETS: tuple[Rule, ...] = (
    _token("age-key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}", "AGE-SECRET-KEY-"),
    _rule("jwt", r"\beyJ[\w-]{8,4096}\.eyJ[\w-]{4,4096}\.[\w-]*", "eyJ"),
    _token("slack-token", r"\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}", "xox", "xapp-"),
    _rule(
        "slack-hook", r"\bhooks\.slack\.com/(?:services|workflows)/(?P<v>[\w/]{20,})", "hooks.slack"
    ),
    _token(
        "discord-hook", r"\bdiscord(?:app)?\.com/api/webhooks/(?P<v>\d+/[\w-]{30,})", "/webhooks/"
    ),
    _rule("teams-hook", r"\bwebhook\.office\.com/(?P<v>webhookb2/[\w@/-]{40,})", "webhook.office"),
    Rule(
        "discord-token",
        re.compile(r"\b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}(?![\w-])"),
        _signs(View.RUN, f"{'w' * 23}.{'w' * 6}.{'w' * 27}"),
    ),
    Rule(
        "telegram-token",
        re.compile(r"(?:\b|(?<=bot))\d{8,10}:[\w-]{35}(?![\w-])"),
        _signs(View.SHAPE, "00000000:"),
    ),
    _token("github-token", r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}", "gh", "github_"),
    _token("gitlab-token", r"\bgl(?:pat|ptt|rt|dt|cbt|ft|imt|agent|oas|soat)-[\w-]{20,}", "gl"),
    _token("aws-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", "AKIA", "ASIA", "ABIA", "ACCA"),
    _token("google-key", r"\bAIza[\w-]{35}", "AIza"),
    _rule(
        "google-token",
        r"\bya29\.[\w.-]{20,}|\bGOCSPX-[\w-]{20,}|\b1//0[\w-]{30,}",
        "ya29.",
        "GOCSPX-",
        "1//0",
    ),
    _token(
        "stripe-key", r"\b(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{16,}", "sk_", "rk_", "whsec_"
    ),
    _token("api-key", r"\bsk-(?=[\w-]{0,200}\d)[\w-]{20,}", "sk-"),
    _token("groq-key", r"\bgsk_[A-Za-z0-9]{40,}", "gsk_"),
    _token("perplexity-key", r"\bpplx-[A-Za-z0-9]{40,}", "pplx-"),
    _token("xai-key", r"\bxai-[A-Za-z0-9]{40,}", "xai-"),
    _token("replicate-token", r"\br8_[A-Za-z0-9]{37}\b", "r8_"),
    _token("huggingface-token", r"\bhf_[A-Za-z0-9]{30,}", "hf_"),
    _token("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b", "npm_"),
    _token("pypi-token", r"\bpypi-[\w-]{50,}", "pypi-"),
    _token("rubygems-key", r"\brubygems_[a-f0-9]{48}\b", "rubygems_"),
    _token("crates-token", r"\bcio[A-Za-z0-9]{32}\b", "cio"),
    _token("docker-token", r"\bdckr_(?:pat|oat)_[\w-]{20,}", "dckr_"),
    _token("sendgrid-key", r"\bSG\.[\w-]{16,}\.[\w-]{16,}", "SG."),
    _token("mailgun-key", r"\bkey-[0-9a-f]{32}\b", "key-"),
    _token("mailchimp-key", r"\b[0-9a-f]{32}-us\d{1,2}\b", "-us"),
    _token("twilio-key", r"\bSK[0-9a-f]{32}\b", "SK"),
    _token("digitalocean-token", r"\bdo[opr]_v1_[a-f0-9]{40,}", "_v1_"),
    _token("databricks-token", r"\bdapi[a-f0-9]{32}(?:-\d)?\b", "dapi"),
    _token("shopify-token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b", "shp"),
    _token("square-token", r"\bsq0[a-z]{3}-[\w-]{22,}", "sq0"),
    _token("newrelic-key", r"\bNR(?:AK|JS|II|RA)-[A-Za-z0-9]{19,}|\b[a-f0-9]{36}NRAL\b", "NR"),
    _rule(
        "sentry-token",
        r"\bsntry[su]_[\w+/=.-]{30,}|(?<=://)(?P<v>[0-9a-f]{32})(?=@)",
        "sntry",
        "://",
    ),
    _token("linear-key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}", "lin_"),
    _token("notion-token", r"\bntn_[A-Za-z0-9]{40,}|\bsecret_[A-Za-z0-9]{43}\b", "ntn_", "secret_"),
    _token("airtable-token", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b", "pat"),
    _rule("atlassian-token", r"\bAT[A-Z]TT3[\w=-]{30,}", "TT3"),
    _token("vault-token", r"\bhv[sbr]\.[\w-]{20,}", "hvs.", "hvb.", "hvr."),
    _token("terraform-token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[\w-]{40,}", ".atlasv1."),
    _rule(
        "grafana-token",
        r"\bglsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}\b|\bglc_[\w+/=]{32,}",
        "glsa_",
        "glc_",
    ),
    _token("pulumi-token", r"\bpul-[a-f0-9]{40}\b", "pul-"),
    _rule("planetscale-token", r"\bpscale_(?:tkn|pw|oauth)_[\w.-]{30,}", "pscale_"),
    _token("supabase-token", r"\bsb[ps]_[a-f0-9]{40}\b|\bsb_secret_[\w-]{20,}", "sb"),
    _token("postman-key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b", "PMAK-"),
    _rule("doppler-token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}", "dp."),
    _token("netlify-token", r"\bnf[pcoub]_[A-Za-z0-9]{36,}", "nf"),
    _token("heroku-key", r"\bHRKU-[\w-]{30,}", "HRKU-"),
    _rule("fly-token", r"\bfm[12][ar]?_[\w+/=-]{40,}|\bfo1_[\w-]{40,}", "fm", "fo1_"),
    _token("facebook-token", r"\bEAA[A-Za-z0-9]{60,}", "EAA"),
    _rule(
        "password-hash",
        r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id|i|d)\$[\w=,$+/-]{30,400}"
        r"|\$[156]\$(?:rounds=\d+\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{20,}"
        r"|\bpbkdf2_sha256\$\d+\$[\w+/=]+\$[\w+/=]{20,}",
        "$",
    ),
    Rule(
        "password",
        re.compile(r"(?<=://)[^\s:/?#@'\"]*:(?P<v>[^\s/?#'\"]+)@"),
        _signs(View.TEXT, "://"),
        is_secret,
    ),
    Rule(
        "bearer",
        re.compile(
            r"(?i)\b(?:bearer|basic)\s+(?P<v>[\w+/.~-]{12,}=*)"
            r"|\bauthorization[\"']?\s*[:=]\s*[\"']?(?:token|apikey|key|digest|negotiate)\s+"
            r"(?P<w>[^\s\"',][^\n\"']{7,400})"
        ),
        _signs(View.LOWER, "bearer", "basic", "authoriz"),
        reach=3,
    ),
    Rule(
        "secret",
        re.compile(
            r"(?i)(?<!\S)--?(?:password|passwd|pass|token|api-key|secret|auth-token)\s+"
            r"[\"']?(?P<v>[^\s\"'-][^\s\"']{3,})|\blogin\s+\S{1,80}\s+password\s+(?P<w>\S{4,})"
        ),
        _signs(View.LOWER, "-pass", "-token", "-api", "-secret", "-auth", "login"),
        is_secret,
        reach=3,
    ),
)

# What only its label gives away; the label may have a prefix, as in `billing_zip_code`.
_LABELS = (
    (
        "cookie",
        r"session(?:[_-]?id)?|sessid|phpsessid|jsessionid|connect\.sid|asp\.net_sessionid|sid"
        r"|csrf[_-]?token|xsrf-token|remember_token|auth_cookie",
    ),
    ("birth-date", r"date[_-]?of[_-]?birth|birth[_-]?(?:date|day)|dob|geburtsdatum"),
    (
        "name",
        r"(?:first|last|full|given|family|sur|middle|maiden|customer|patient|recipient"
        r"|card[_-]?holder|account[_-]?holder)[_-]?name|surname|card[_-]?holder|vorname|nachname",
    ),
    (
        "street",
        r"street(?:[_-]?(?:address|name|line))?[_-]?\d?|address[_-]?(?:line)?[_-]?[12]"
        r"|(?:billing|shipping|home|mailing|postal|delivery)[_-]?address|strasse",
    ),
    ("postcode", r"zip[_-]?code|postal[_-]?code|post[_-]?code|plz"),
    ("passport", r"passport(?:[_-]?(?:no|nr|number|id))?"),
    (
        "licence",
        r"driv(?:er|ing)s?[_-]?licen[cs]e(?:[_-]?(?:no|number|id))?|(?:license|licence|number)[_-]?plate",
    ),
    (
        "national-id",
        r"ssn|social[_-]?security(?:[_-]?(?:no|number))?|national[_-]?id|tax[_-]?id|steuer[_-]?id|nino"
        r"|insee|bsn|pesel|aadhaar|cpf|curp",
    ),
    (
        "bank-account",
        r"(?:bank[_-]?)?account[_-]?(?:no|number)|routing[_-]?number|sort[_-]?code|iban|swift|bic",
    ),
    ("card-code", r"cvv2?|cvc2?|card[_-]?(?:security|verification)[_-]?code|card[_-]?pin"),
    ("device-id", r"imei|imsi|iccid|meid|idfa|gaid|advertising[_-]?id"),
    ("phone", r"phone(?:[_-]?(?:no|number))?|mobile(?:[_-]?(?:no|number))?|msisdn|telefon"),
    ("location", r"lat|latitude|lng|lon|longitude|geo[_-]?(?:point|location)"),
)
_PERSONAL_NAMES = tuple(
    (kind, re.compile(rf"(?i)\A(?:[a-z0-9]{{1,40}}[_.-]){{0,4}}(?:{names})\Z"))
    for kind, names in _LABELS
)
_PLACE = re.compile(r"-?\d{1,3}\.\d{3,}(?:[, ]+-?\d{1,3}\.\d{3,})?")


@functools.lru_cache(maxsize=10_000)
def kind_of(name: str) -> str:
    """Return what stands under a name, empty when the name does not say."""
    if SECRET_NAME.match(name):
        return "secret"
    return next((kind for kind, pattern in _PERSONAL_NAMES if pattern.match(name)), "")


def is_private(kind: str, text: str, *, bare: bool = False) -> bool:
    """Return whether a value that stands under a name of this kind is one; `bare`: not quoted."""
    if not is_secret(text) or len(text) < _LEAST.get(kind, 4) + 2 * (bare and kind == "secret"):
        return False
    if kind == "location":
        return _PLACE.fullmatch(text) is not None
    if kind in ("name", "street"):
        return any(sign.isalpha() for sign in text)
    return kind == "secret" or any(sign.isdigit() for sign in text)


_LEAST = {"cookie": 8, "card-code": 3, "name": 2}
PERSONAL: tuple[Rule, ...] = (
    Rule(
        "email",
        re.compile(
            r"(?<![\w.+-])[\w.+%-]{1,64}(?:@|%40)"
            r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
        ),
        _signs(View.TEXT, "@", "%40"),
    ),
    Rule(
        "iban",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        _signs(View.PACKED, "AA00"),
        _is_iban,
    ),
    Rule(
        "card",
        re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"),
        _signs(View.PACKED, "0" * 13),
        _is_card,
    ),
    Rule(
        "phone",
        re.compile(r"(?<![\w+])\+[1-9]\d{0,2}(?:[ .()/-]{0,2}\d){7,13}(?!\w)"),
        _signs(View.SHAPE, "+0"),
        _is_phone,
    ),
    Rule(
        "phone",
        re.compile(r"(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])"),
        _signs(View.SHAPE, "000-0000", "000.0000"),
        _is_phone,
    ),
    Rule(
        "national-id",
        re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"),
        _signs(View.SHAPE, "000-00-0000"),
        _is_ssn,
    ),
    # British: no D, F, I, Q, U, V at first, nor O second; a suffix of A to D.
    Rule(
        "national-id",
        re.compile(
            r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2}"
            r" ?[A-D]\b"
        ),
        _signs(View.PACKED, "AA000000A"),
    ),
    Rule(
        "national-id",
        re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])"),
        _signs(View.SHAPE, "000.000.000-00"),
        lambda text: checkdigits.cpf(_bare(text)),
    ),
    Rule(
        "national-id",
        re.compile(r"\b(?:\d{8}|[XYZ]\d{7})-?[A-HJ-NP-TV-Z]\b"),
        _signs(View.SHAPE, "00000000A", "00000000-A", "A0000000A", "A0000000-A"),
        lambda t: checkdigits.dni(_bare(t)),
    ),
    Rule(
        "national-id",
        re.compile(r"\b[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]\b"),
        _signs(View.SHAPE, "AAAAAA00A00A000A"),
        checkdigits.tax_code,
    ),
    Rule(
        "national-id",
        re.compile(r"(?<![\w.-])\d{6}(?:\d{2})?[-+]\d{4}(?![\w-])"),
        _signs(View.SHAPE, "000000-0000", "000000+0000"),
        checkdigits.personnummer,
    ),
    Rule(
        "mac",
        re.compile(
            r"(?<![\w:-])(?!(?:00[:-]){5}00|(?:[fF]{2}[:-]){5}[fF]{2})"
            r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:-])"
        ),
        _signs(View.BARE, ":::::"),
    ),
    _rule(
        "wallet",
        r"\bbc1[ac-hj-np-z02-9]{25,60}\b|\b0x[0-9a-fA-F]{40}\b",
        "bc1",
        "0x",
    ),
    # "Chrome/120.0.0.0" and "v1.2.3.4" are versions.
    Rule(
        "ip",
        re.compile(r"(?<![\w.])(?<![A-Za-z]/)\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)"),
        _signs(View.SHAPE, ".0.", ".00.", ".000."),
        _is_address,
    ),
    Rule(
        "ip",
        # A digit in the first group keeps `std::add` and `test_a.py::bad` what they are.
        re.compile(
            r"(?<![\w:.])(?=[0-9a-f]*\d)(?:[0-9a-f]{1,4}:){1,7}(?::?[0-9a-f]{1,4})"
            r"(?::[0-9a-f]{1,4})*"
            r"(?![\w:])",
            re.I,
        ),
        # Two colons in a row, or all seven.
        (*_signs(View.TEXT, "::"), *_signs(View.BARE, ":::::::")),
        _is_address,
    ),
)
