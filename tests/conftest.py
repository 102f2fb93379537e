"""Modules import what they share by the name that it has on a host."""

import sys

import fuego_deploy

sys.modules["ansible.module_utils.fuego_deploy"] = fuego_deploy
