/* report_page.h - report.html: one self-contained page, curves as inline SVG, nothing loaded. */
#pragma once

#include "deploy/report.h"

void report_page_write(FILE *file, const report_input *r);
