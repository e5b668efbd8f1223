"""The status page in a real Chromium, by WebDriver: looked at in four ways, and checked.

    browser.py PAGE.HTML|URL PICTURES [USER:TOKEN]

Each check is one line, `ok` or `FAIL`; the exit code is 1 where one failed. Uses the standard library only; needs
`chromium` and `chromedriver`.
"""

import base64
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

ARGUMENTS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-default-apps --hide-scrollbars --force-color-profile=srgb
--host-resolver-rules=MAP\t*\t~NOTFOUND\t,\tEXCLUDE\t127.0.0.1""".split()
SIZES = [(1280, 900), (400, 860)]
SCHEMES = ["light", "dark"]

# Runs in the browser, not in the page: the page has no script, and its policy would allow none.
LOOK = r"""
const parse = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return {rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1};
};
const luminance = (rgb) => {
    const linear = rgb.map((part) => part / 255).map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        if (colour.alpha === 1) return colour.rgb;
    }
    return [255, 255, 255];
};
const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
};
const faint = [];
let texts = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.tagName === "title" || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), drawn = element instanceof SVGElement;
    const ground = element.classList.contains("flagged")
        ? parse(getComputedStyle(element.previousElementSibling).fill).rgb : behind(element);
    const contrast = ratio(parse(drawn ? style.fill : style.color).rgb, ground);
    texts += 1;
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${node.textContent.trim().slice(0, 40)}`);
}
const shapes = [...document.querySelectorAll("svg.strip rect, svg.cells rect")].filter((each) => each.getClientRects().length);
const wide = [...document.querySelectorAll("body *")].filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5);
const small = [...document.querySelectorAll("svg text")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.height > 0 && box.height < 10;
});
return {
    texts, faint, scripts: document.scripts.length, title: document.title,
    scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth,
    wide: wide.slice(0, 5).map((each) => each.outerHTML.slice(0, 80)), small: small.length,
    headings: [...document.querySelectorAll("h1, h2, h3")].map((each) => Number(each.tagName[1])),
    words: [...document.querySelectorAll("h1, h2")].map((each) => each.textContent),
    heads: [...document.querySelectorAll("table")].every((table) => table.querySelector("th[scope=col]")),
    loaded: performance.getEntriesByType("resource").map((each) => each.name).filter((name) => !name.startsWith("data:")),
    black: shapes.filter((each) => getComputedStyle(each).fill === "rgb(0, 0, 0)").length, shapes: shapes.length,
    styled: getComputedStyle(document.querySelector(".hero")).borderLeftWidth, height: document.documentElement.scrollHeight,
    background: getComputedStyle(document.body).backgroundColor, cookie: document.cookie,
};
"""

# Whatever the environment says of proxies.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
failed = 0


def check(what, holds, seen=""):
    global failed
    failed += not holds
    print(f"ok   {what}" if holds else f"FAIL {what}: {seen}")


class Browser:
    """A session of chromedriver."""

    def __init__(self, home):
        command = ["chromedriver", "--port=0"]
        self.driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = next(match for line in self.driver.stdout if (match := re.search(r"successfully on port (\d+)", line)))[1]
        self.base = f"http://127.0.0.1:{port}/session"
        options = {"args": [*(each.replace("\t", " ") for each in ARGUMENTS), f"--user-data-dir={home}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.base += "/" + self.ask("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def ask(self, path, body=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with DIRECT.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"FAIL {path}: {error.read().decode()[:400]}") from error

    def command(self, name, **parameters):
        return self.ask("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def run(self, script):
        return self.ask("/execute/sync", {"script": script, "args": []})

    def end(self):
        with contextlib.suppress(BaseException):
            self.ask("", method="DELETE")
        self.driver.terminate()
        self.driver.wait()


def look(browser, page, size, scheme, pictures):
    (width, height), what = size, f"{size[0]} px, {scheme}"
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    browser.ask("/url", {"url": page})
    seen = browser.run(LOOK)
    logged = [entry["message"] for entry in browser.ask("/se/log", {"type": "browser"})]
    check(f"{what}: nothing is complained about, neither the policy nor the page", not logged, logged)
    check(f"{what}: nothing but the page itself is loaded", not seen["loaded"], seen["loaded"])
    check(f"{what}: no script, no cookie", seen["scripts"] == 0 and seen["cookie"] == "", seen)
    check(f"{what}: its style is applied", seen["styled"] == "8px", seen["styled"])
    check(f"{what}: nothing to scroll sideways", seen["scroll"] <= seen["client"] and not seen["wide"], (seen["scroll"], seen["wide"]))
    light = sum(map(int, re.findall(r"\d+", seen["background"])[:3])) > 382
    check(f"{what}: the scheme is the reader's", light == (scheme == "light"), seen["background"])
    check(f"{what}: every text has a contrast of 4.5", seen["texts"] > 40 and not seen["faint"], (seen["texts"], seen["faint"]))
    check(f"{what}: texts in the picture can be read", seen["small"] == 0, seen["small"])
    check(f"{what}: every shape has its colour", seen["shapes"] > 50 and seen["black"] == 0, (seen["shapes"], seen["black"]))
    steps = [after - before for before, after in zip(seen["headings"], seen["headings"][1:])]
    one = seen["headings"].count(1) == 1 and seen["headings"][0] == 1
    check(f"{what}: headings in order, tables with heads", one and max(steps) <= 1 and seen["heads"], seen["headings"])
    wanted = ["What works now", "The last 24 hours", "Facts", "Causes", "What changed", "Recent failures"]
    check(f"{what}: every section is there", set(wanted) <= set(seen["words"]), seen["words"])
    check(f"{what}: the title begins with the state", re.match(r"(OK|WARNING|TROUBLE|NOTHING KNOWN) · ", seen["title"]), seen["title"])
    clip = {"x": 0, "y": 0, "width": width, "height": seen["height"], "scale": 1}
    shot = browser.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
    (pictures / f"{width}-{scheme}.png").write_bytes(base64.b64decode(shot))


def main():
    page, pictures = sys.argv[1], pathlib.Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    if not page.startswith("http"):
        page = pathlib.Path(page).resolve().as_uri()
    elif len(sys.argv) > 3:
        page = page.replace("http://", f"http://{sys.argv[3]}@")
    with tempfile.TemporaryDirectory() as home:
        browser = Browser(home)
        try:
            for size in SIZES:
                for scheme in SCHEMES:
                    look(browser, page, size, scheme, pictures)
        finally:
            browser.end()
    sys.exit(failed > 0)


main()
