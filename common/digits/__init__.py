"""Digits of your own hand: find and prepare them, draw them in a browser."""
