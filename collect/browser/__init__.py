"""Chromium through Selenium, and the proxy that keeps it away from private addresses. Nothing else imports selenium."""
