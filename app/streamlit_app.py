"""The app's entry: language, task and navigation; then the page. Each page is one file of `app_pages/`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.components import frame

st.set_page_config("EasyDS Bench", Path(__file__).with_name("icon.svg"), layout="wide")
frame.navigate()
