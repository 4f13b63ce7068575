"""Fake vendors of models: they speak the vendors' protocols, say who answered, and fail on command."""

from appliance.lab.vendors.app import vendor_app
from appliance.lab.vendors.keys import vendor_key

__all__ = ["vendor_app", "vendor_key"]
