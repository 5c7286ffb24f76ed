"""Decisions for AWS API Gateway, which asks no decision server: its keys are disabled and enabled instead."""
