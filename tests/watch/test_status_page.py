#!/usr/bin/env python3
"""Proves, in a real browser during a real run: the status page fills its tables and draws its curves
without a complaint of the console, sorts, fits a phone, shows hostile texts as texts, survives the
scheduler's death and the end of the job.

    test_status_page.py BINARIES PICTURES      screenshots are left in PICTURES
"""
import os
import signal
import sys
import tempfile

from browser import Browser
from training import Training, need

ROWS = "document.querySelectorAll('#%s tbody tr').length"
COLUMN = "[...document.querySelectorAll('#%s tbody tr')].map(r => r.cells[%d].textContent)"
FACT = "[...document.querySelectorAll('#build tbody tr')].find(r => r.cells[0].textContent == '%s').cells[1].textContent"
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'&amp;"


def no_errors(browser, outage=False):
    """The console was told nothing; while the scheduler is away requests fail, which the browser reports itself."""
    lines = [line["message"] for line in browser.complaints() if line["level"] != "INFO"]
    lines = [line for line in lines if not (outage and "ERR_CONNECTION_REFUSED" in line)]
    assert not lines, lines


def fills(browser):
    for section, rows in (("workers", 3), ("servers", 2), ("samplers", 2), ("events", 8), ("config", 100), ("build", 5)):
        browser.wait(f"{rows} rows of {section}", f"{ROWS % section} >= {rows}")
    browser.wait("the loss", "document.querySelector('.curve .line')?.getAttribute('d')?.length > 100")
    browser.wait("every curve", "document.querySelectorAll('.curve .line').length == 6", 60)
    assert browser.run("return document.getElementById('state').textContent") in ("RUNNING", "VALIDATING")
    browser.wait("a live page", "document.getElementById('live').textContent == 'live'")
    assert browser.run("return document.querySelectorAll('#tiles .tile').length") == 8
    shares = browser.run("return [...document.querySelectorAll('#share div')].map(d => parseFloat(d.style.width))")
    assert len(shares) == 5 and abs(sum(shares) - 100) < 1, shares


def sorts(browser):
    heading = "[...document.querySelectorAll('#workers th')].find(h => h.textContent == 'process')"
    assert browser.run("return document.querySelector('#workers th[aria-sort=ascending]').textContent") == "examples/s"
    browser.run(heading + ".querySelector('button').click()")
    first = browser.run("return " + COLUMN % ("workers", 0))
    browser.run(heading + ".querySelector('button').click()")
    second = browser.run("return " + COLUMN % ("workers", 0))
    assert sorted(first) == sorted(second) == ["worker-0", "worker-1", "worker-2"], (first, second)
    assert first == second[::-1], (first, second)


def filters(browser):
    browser.run("const f = document.getElementById('config-filter'); f.value = 'hgnn.dims'; f.dispatchEvent(new Event('input'))")
    assert browser.run("return " + COLUMN % ("config", 0)) == ["hgnn.dims"]
    assert browser.run("return " + COLUMN % ("config", 1)) == ["[16,12]"]


def is_harmless(browser):
    """Every text of a status that is not a word of the protocol, replaced by markup."""
    keep = "['state', 'stage', 'time', 'started', 'weft', 'bits']"
    texts = browser.run(f"""
        const spoil = (v, k) => typeof v === 'string' ? ({keep}.includes(k) ? v : arguments[0])
          : Array.isArray(v) ? v.map(x => spoil(x, '')) : v && typeof v === 'object'
          ? Object.fromEntries(Object.entries(v).map(([k, x]) => [k, spoil(x, k)])) : v;
        const s = spoil(last, '');
        s.waiting = {{for: arguments[0], whom: arguments[0], since_s: 3}};
        s.failure = s.stopped_by = arguments[0];
        s.config[arguments[0]] = arguments[0];
        s.workers.forEach((w, i) => w.id += i);
        document.getElementById('config-filter').value = '';
        show(s);
        return ['job', 'workers', 'events', 'config', 'notes'].map(id => document.getElementById(id).textContent)
          .concat(document.querySelectorAll('img, script[src], main script').length);""", HOSTILE)
    assert texts.pop() == 0
    assert all(HOSTILE in text for text in texts), texts
    browser.run("return new Promise(done => setTimeout(done, 300))")
    assert browser.run("return window.hacked === undefined")


def pictures(browser, folder):
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        for name, width, height, phone in (("desktop", 1400, 1000, False), ("phone", 390, 844, True)):
            browser.size(width, height, phone)
            browser.run("return new Promise(done => setTimeout(done, 1200))")
            wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1], f"{name}: {wide[0]} of {wide[1]} pixels"
            browser.screenshot(os.path.join(folder, f"{name}-{scheme}.png"))
    colours = []
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        colours.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1], colours
    browser.size(1400, 1000)


def survives(browser, training):
    os.kill(training.pid_of("worker-1"), signal.SIGKILL)
    browser.wait("the worker's return", f"{COLUMN % ('events', 2)}.filter(w => w == 'worker-1').length >= 2")
    no_errors(browser)
    os.kill(training.scheduler_pid(), signal.SIGKILL)
    browser.wait("the scheduler's next life", f"{FACT % 'life of the scheduler'} == '2'", 60)
    browser.wait("a live page", "document.getElementById('live').textContent == 'live'")
    browser.wait("its curves", "document.querySelectorAll('.curve .line').length == 6", 60)
    no_errors(browser, outage=True)


def outlives(browser, training):
    training.stop()
    browser.wait("the end to be noticed", "document.getElementById('live').className != 'live on'")
    assert browser.run("return " + ROWS % "workers") == 3
    assert browser.run("return document.querySelectorAll('.curve .line').length") == 6
    no_errors(browser, outage=True)


def main():
    binaries, folder = sys.argv[1:]
    need("chromium", "chromedriver")
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        with Training(binaries, work) as training, Browser(work) as browser:
            browser.open(training.url + "/")
            training.wait_step(45)
            fills(browser)
            sorts(browser)
            filters(browser)
            pictures(browser, folder)
            no_errors(browser)
            is_harmless(browser)
            no_errors(browser)
            survives(browser, training)
            outlives(browser, training)
    print("the status page is good")


if __name__ == "__main__":
    main()
