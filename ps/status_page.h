/* status_page.h - the HTML page at `/`: one self-contained text that polls /api/v1/status. */
#pragma once

extern const char status_page_html[];
