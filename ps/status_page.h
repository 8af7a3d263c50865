/* status_page.h - the HTML page at `/`: one self-contained text that polls /api/v1/status.
 *
 * Built from status_page.html, .css and .js, which the build embeds: no asset and no framework, so
 * that it works offline. Texts of peers and files become nodes (`textContent`),
 * never markup: nothing they say runs in the reader's browser. */
#pragma once

extern const char status_page_html[];
