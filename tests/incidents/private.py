"""Secrets and personal data of every kind, made up from a seed, and ordinary lines without any.

None of it is anyone's: secrets are put together from a prefix and random signs, so that no scanner
takes this file for a leak.
"""

import random
import string
import uuid
from collections.abc import Callable, Iterator

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
Make = Callable[[random.Random], str]


def signs(alphabet: str, length: int) -> Make:
    """So many random signs."""
    return lambda rng: "".join(rng.choices(alphabet, k=length))


def made(form: str, *parts: Make) -> Make:
    """A form with its `{}` filled in."""
    return lambda rng: form.format(*(part(rng) for part in parts))


def a(length: int) -> Make:
    """Letters and digits, a digit among them."""
    return lambda rng: "".join(rng.choices(ALNUM, k=length - 1)) + rng.choice(string.digits)


def h(length: int) -> Make:
    """Hexadecimal digits."""
    return signs(HEX, length)


def block(title: str, end: str) -> Make:
    """A key as tools write it to a file."""
    return made(f"-----BEGIN {title}-----{end}{{}}{end}-----END {title}-----", a(64))


# kind -> (the secret, a line with it)
SECRETS: dict[str, tuple[Make, str]] = {
    "aws access key": (made("AKIA{}", signs(UPPER, 16)), "using key {} for s3"),
    "aws temporary key": (made("ASIA{}", signs(UPPER, 16)), "assumed {}"),
    "aws secret key": (a(40), "aws_secret_access_key = {}"),
    "aws session token": (a(120), "AWS_SESSION_TOKEN={}"),
    "aws presigned address": (h(64), "GET /b/o?X-Amz-Expires=60&X-Amz-Signature={} 200"),
    "google api key": (made("AIza{}", a(35)), "maps key={}"),
    "google oauth token": (made("ya29.{}", a(60)), "token {} accepted"),
    "google client secret": (made("GOCSPX-{}", a(28)), "client {}"),
    "azure storage key": (made("{}==", a(86)), "AccountName=shop;AccountKey={};"),
    "azure shared access": (made("{}=", a(43)), "SharedAccessKey={}"),
    "github token": (made("ghp_{}", a(36)), "remote: {}@github"),
    "github fine-grained token": (made("github_pat_{}_{}", a(22), a(59)), "auth {}"),
    "gitlab token": (made("glpat-{}", a(20)), "PRIVATE {}"),
    "slack bot token": (made("xoxb-{}-{}", signs("0123456789", 12), a(24)), "bot {}"),
    "slack app token": (made("xapp-1-{}", a(40)), "socket {}"),
    "slack webhook": (made("T{}/B{}/{}", signs(UPPER, 8), signs(UPPER, 8), a(24)),
                      "POST https://hooks.slack.com/services/{} 404"),
    "discord webhook": (made("{}/{}", signs("0123456789", 18), a(68)),
                        "https://discord.com/api/webhooks/{}"),
    "discord bot token": (made("M{}.{}.{}", a(23), a(6), a(38)), "login {}"),
    "telegram token": (made("{}:{}", signs("123456789", 9), a(35)), "/bot{}/getMe"),
    "stripe key": (made("sk_live_{}", a(24)), "charge with {}"),
    "stripe webhook secret": (made("whsec_{}", a(32)), "verify {}"),
    "openai key": (made("sk-proj-{}", a(48)), "model {}"),
    "anthropic key": (made("sk-ant-api03-{}", a(80)), "x-api-key: {}"),
    "huggingface token": (made("hf_{}", a(34)), "hub {}"),
    "groq key": (made("gsk_{}", a(52)), "llm {}"),
    "npm token": (made("npm_{}", a(36)), "//registry/:_authToken={}"),
    "pypi token": (made("pypi-{}", a(120)), "upload {}"),
    "rubygems key": (made("rubygems_{}", h(48)), "gem {}"),
    "docker token": (made("dckr_pat_{}", a(27)), "docker {}"),
    "sendgrid key": (made("SG.{}.{}", a(22), a(43)), "mail {}"),
    "mailgun key": (made("key-{}", h(32)), "mail {}"),
    "mailchimp key": (made("{}-us12", h(32)), "list {}"),
    "twilio key": (made("SK{}", h(32)), "sms {}"),
    "digitalocean token": (made("dop_v1_{}", h(64)), "droplet {}"),
    "databricks token": (made("dapi{}", h(32)), "job {}"),
    "shopify token": (made("shpat_{}", h(32)), "orders {}"),
    "square token": (made("sq0atp-{}", a(22)), "pay {}"),
    "new relic key": (made("NRAK-{}", signs(UPPER, 27)), "apm {}"),
    "datadog key": (h(32), "DD-API-KEY: {}"),
    "sentry address": (h(32), "https://{}@o1.ingest.sentry.io/2"),
    "linear key": (made("lin_api_{}", a(40)), "issue {}"),
    "notion token": (made("ntn_{}", a(46)), "page {}"),
    "airtable token": (made("pat{}.{}", a(14), h(64)), "base {}"),
    "atlassian token": (made("ATATT3xFfGF0{}", a(60)), "jira {}"),
    "vault token": (made("hvs.{}", a(90)), "vault {}"),
    "terraform token": (made("{}.atlasv1.{}", a(14), a(67)), "tf {}"),
    "grafana token": (made("glsa_{}_{}", a(32), h(8)), "board {}"),
    "crates token": (made("cio{}", a(32)), "publish {}"),
    "doppler token": (made("dp.st.prd.{}", a(43)), "env {}"),
    "facebook token": (made("EAA{}", a(80)), "page {}"),
    "fly token": (made("fm2_{}=", a(60)), "deploy {}"),
    "heroku key": (made("HRKU-{}", a(36)), "dyno {}"),
    "netlify token": (made("nfp_{}", a(36)), "site {}"),
    "perplexity key": (made("pplx-{}", a(48)), "ask {}"),
    "planetscale token": (made("pscale_tkn_{}", a(43)), "branch {}"),
    "replicate token": (made("r8_{}", a(37)), "predict {}"),
    "teams webhook": (made("webhookb2/{}@{}/IncomingWebhook/{}/{}", a(36), a(36), h(32), a(36)),
                      "POST https://shop.webhook.office.com/{} 200"),
    "xai key": (made("xai-{}", a(80)), "grok {}"),
    "pulumi token": (made("pul-{}", h(40)), "stack {}"),
    "supabase key": (made("sbp_{}", h(40)), "db {}"),
    "postman key": (made("PMAK-{}-{}", h(24), h(34)), "run {}"),
    "age key": (made("AGE-SECRET-KEY-1{}", signs(UPPER, 58)), "sops {}"),
    "jwt": (made("eyJ{}.eyJ{}.{}", a(20), a(60), a(43)), "Cookie: t={}; path=/"),
    "private key": (block("PRIVATE KEY", "\n"), "{}"),
    "private key in json": (block("RSA PRIVATE KEY", "\\n"), '{{"private_key": "{}"}}'),
    "pgp key": (block("PGP PRIVATE KEY BLOCK", "\n"), "{}"),
    "password in an address": (a(12), "postgresql://app:{}@db.internal:5432/shop"),
    "password in a setting": (a(14), "DB_PASSWORD={}"),
    "password in yaml": (a(10), "  password: {}"),
    "password in json": (a(10), '{{"user": "app", "password": "{}"}}'),
    "password in escaped json": (a(10), 'body="{{\\"passwd\\": \\"{}\\"}}"'),
    "password on a command line": (a(12), "run: mysqldump --password {} shop"),
    "password in netrc": (a(12), "machine x login deploy password {}"),
    "password hash": (made("$2b$12${}", signs(ALNUM + "./", 53)), "user 5 hash {}"),
    "argon2 hash": (made("$argon2id$v=19$m=65536,t=3,p=4${}${}", a(22), a(43)), "hash {}"),
    "bearer token": (a(40), "Authorization: Bearer {}"),
    "basic auth": (made("{}=", a(23)), "authorization: Basic {}"),
    "token header": (h(40), "Authorization: token {}"),
    "session cookie": (h(32), "Set-Cookie: PHPSESSID={}; HttpOnly"),
    "csrf token": (a(32), "csrf_token={}&x=1"),
    "access token in a query": (a(40), "GET /cb?state=1&access_token={} HTTP/1.1"),
    "client secret": (a(30), "client_secret={}"),
}  # fmt: skip


def digits(length: int) -> Make:
    """Decimal digits, not zero at first."""
    return lambda rng: rng.choice("123456789") + "".join(rng.choices("0123456789", k=length - 1))


def one_of(*texts: str) -> Make:
    """One of these: numbers with check digits, as the standards' own examples give them."""
    return lambda rng: rng.choice(texts)


NAMES = one_of("Ana", "Bjarne", "Chidi", "Dolores", "Ewa", "Farid", "Grete", "Hiroshi")
SURNAMES = one_of("Almeida", "Sørensen", "O'Neill", "García Márquez", "Kowalska", "Nakamura")
PERSONAL: dict[str, tuple[Make, str]] = {
    "e-mail": (made("{}.{}@example.org", NAMES, digits(3)), "mail to {} bounced"),
    "e-mail in an address": (made("{}{}%40example.org", NAMES, digits(3)), "GET /u?e={} 200"),
    "phone": (made("+49 30 {}-{}", digits(4), digits(4)), "called {} twice"),
    "american phone": (made("({}) 555-{}", one_of("212", "415"), digits(4)), "sms to {}"),
    "phone by its label": (digits(9), "mobile_number={}"),
    "card": (one_of("4111 1111 1111 1111", "5500005555555559", "340000000000009"), "charge {}"),
    "card code": (digits(3), "cvv={}"),
    "iban": (one_of("DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"), "refund to {}"),
    "account number": (digits(10), "account_number: {}"),
    "ip address": (made("203.0.113.{}", one_of("7", "80", "200")), "from {}:51234"),
    "ip address, version 6": (one_of("2001:db8::8a2e:370:7334", "2001:db8::1"), "peer {} gone"),
    "mac address": (one_of("3c:22:fb:0a:91:e7", "A4:83:E7:12:34:56"), "dhcp lease {}"),
    "american social security number": (made("123-45-{}", digits(4)), "applicant {}"),
    "british insurance number": (one_of("AB123456C", "JG 10 37 59 A"), "payroll {}"),
    "brazilian taxpayer": (one_of("529.982.247-25", "111.444.777-35"), "cliente {}"),
    "spanish identity": (one_of("12345678Z", "X1234567L"), "titular {}"),
    "italian tax code": (one_of("RSSMRA85T10A562S",), "cliente {}"),
    "swedish personal number": (one_of("811228-9874", "670919-9530"), "kund {}"),
    "national number by its label": (digits(11), "tax_id={}"),
    "birth date": (one_of("1984-03-17", "17.03.1984"), "dob={}"),
    "name": (SURNAMES, 'last_name="{}"'),
    "full name": (made("{} {}", NAMES, SURNAMES), '{{"customer_name": "{}"}}'),
    "street": (made("Hauptstraße {}", digits(2)), 'street_address: "{}"'),
    "post code": (digits(5), "zip_code={}"),
    "passport": (made("C01X{}", digits(5)), "passport_number={}"),
    "driving licence": (made("B{}", digits(9)), "drivers_license={}"),
    "number plate": (made("B-XY {}", digits(4)), "license_plate='{}'"),
    "imei": (one_of("490154203237518", "356938035643809"), "imei: {}"),
    "place": (one_of("52.520008", "48.858370"), "latitude={}"),
    "wallet": (made("0x{}", h(40)), "payout to {}"),
}  # fmt: skip

ORDINARY = (
    "{time} INFO  [{thread}] c.e.shop.CheckoutService - order {order} placed in {ms} ms",
    "{time} ERROR payment: gateway answered 502 after {ms} ms (attempt {n} of 3)",
    '127.0.0.1 - - [{clf}] "GET /api/v{n}/items/{id}?page={n}&sort=price HTTP/1.1" 200 {bytes} "-" '
    '"Mozilla/5.0 (X11; Linux x86_64) Chrome/{version} Safari/537.36"',
    '{{"ts":"{time}","level":"warn","trace_id":"{hex32}","span_id":"{hex16}",'
    '"msg":"slow query","ms":{ms}}}',
    "commit {hex40} by build-{n} merged into main at {time}",
    "Traceback (most recent call last):",
    '  File "/srv/shop/checkout/pricing.py", line {n}, in total_of',
    "AttributeError: 'NoneType' object has no attribute 'postcode_of'",
    "KeyError: 'password_reset_url' while rendering template mail/reset_{n}.html",
    "pod checkout-{hex8}-{base5} restarted {n} times, last exit code 137",
    "image registry.internal/shop/checkout@sha256:{hex64} pulled in {ms} ms",
    "request_id={uuid} user_id={id} status=500 duration={ms}ms bytes={bytes}",
    "order {cardlike} shipped, tracking {tracking}, weight {n}.{n} kg",
    "kafka: partition orders-{n} offset {epoch} lag {bytes}",
    "requests-per-second: {n}, p99 {ms} ms, error rate 0.0{n}",
    "max_tokens: {bytes}, tokens={bytes}, token count {n}",
    "the password was wrong for the {n}th time; login refused",
    "token expired at {time}; refresh token: missing",
    "password: incorrect",
    "secret rotation: finished after {ms} ms",
    "password = os.environ['DB_PASSWORD']",
    "    token = request.headers.get('X-Request-Id')",
    "    token = next_token(lexer)",
    "    first_name = user.first_name",
    "    secret_key: str = settings.secret_key",
    "    api_key=settings.api_key, session=session)",
    "    street = address.street",
    "    if token == expected_token:",
    "password=$DB_PASSWORD token=${{TOKEN}} secret: ${{{{ secrets.DEPLOY }}}} key=<redacted>",
    "epoch {epoch} and {epoch}123 and {epoch}123456",
    "GC pause {n}.{n}ms heap {bytes}K->{bytes}K({bytes}K) [Eden: {n}M]",
    "upgrading numpy 1.26.{n} -> 2.1.{n}; checksum md5:{hex32}",
    "sql: SELECT id, total FROM orders WHERE id = {id} AND state = 'OPEN' LIMIT {n}",
    "deploy of {hex7} to eu-central-1 finished in {n}m{n}s (build #{id})",
    "listening on 0.0.0.0:8080 and [::1]:8080, metrics on 127.0.0.1:9090",
    "@@ -{n},7 +{n},9 @@ def total(self, basket: Basket) -> Decimal:",
    "cache key=basket:{id}:v{n} hit=false ttl={n}s",
    "tests/test_pricing.py::test_total_{n} PASSED [ {n}%]",
    "std::vector<int>::at, shop::Basket::add and a::b::c",
    "disk /dev/nvme0n1p1 {n}% used, inode {n}% used, {bytes} MB free",
    "cron 0 3 * * {n} rotated /var/log/shop/access.log.{n}.gz",
    "certificate for shop.internal, serial {serial}, expires {time}",
    "feature flag new-checkout-{n} is on for {n} % of sessions",
    "git@ is no address; see CODEOWNERS @shop/payments @team-{n}",
    "sk-learn-contrib-estimator-checks and pk-{n} and SG.maps.example",
    "IPv4 header checksum 0x{hex4}, flags 0x{hex2}, ttl {n}",
    "price 19.99 EUR, vat 3.{n}, total 2{n}.99, discount -5.00",
    "slot 2024-11-{dd} 14:00-15:30, room 4.12, seats {n}",
    "RFC 9110 section 15.{n}.1, ISO 8601, port 443, HTTP 418",
    "lat: 12 ms, long: 40 ms, name: checkout, street: none",
)  # fmt: skip


def ordinary(count: int, seed: int = 1) -> Iterator[str]:
    """So many lines as programs write them, with nobody's data in them."""
    rng = random.Random(seed)
    for number in range(count):
        yield ORDINARY[number % len(ORDINARY)].format(**_fields(rng))


def _fields(rng: random.Random) -> dict[str, str]:
    second, epoch = f"{rng.randrange(60):02}", 1_767_600_000 + rng.randrange(10**6)
    n = str(rng.randint(1, 9))
    return {
        "time": f"2026-01-05T09:{second}:{second}.{rng.randrange(10**6):06}Z",
        "clf": f"05/Jan/2026:09:{second}:{second} +0000",
        "thread": f"http-nio-8080-exec-{n}",
        "order": f"{rng.randint(1000, 9999)}-{rng.randint(1000, 9999)}-{rng.randint(1000, 9999)}",
        "cardlike": failing_card(rng),
        "tracking": f"JJD{rng.randrange(10**18):018}",
        "ms": str(rng.randint(1, 9000)),
        "n": n,
        "dd": f"{rng.randint(10, 28)}",
        "id": str(rng.randint(10_000, 99_999_999)),
        "bytes": str(rng.randint(100, 9_999_999)),
        "version": f"{rng.randint(90, 140)}.0.{rng.randint(0, 9999)}.{rng.randint(0, 200)}",
        "epoch": str(epoch),
        "uuid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "serial": ":".join(f"{rng.randrange(256):02X}" for _ in range(16)),
        "base5": "".join(rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5)),
        **{f"hex{k}": "".join(rng.choices(HEX, k=k)) for k in (2, 4, 7, 8, 16, 32, 40, 64)},
    }


def failing_card(rng: random.Random) -> str:
    """An order number that begins like a card and fails its check."""
    body = [4] + [rng.randrange(10) for _ in range(14)]
    doubled = [d * 2 - 9 if d * 2 > 9 else d * 2 for d in body[::2]]
    right = -(sum(doubled) + sum(body[1::2])) % 10
    return "".join(map(str, [*body, (right + rng.randint(1, 9)) % 10]))
