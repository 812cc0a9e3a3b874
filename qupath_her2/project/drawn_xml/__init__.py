"""Regions from the XML of other annotation programs: Aperio ImageScope, ASAP and Hamamatsu NDP.view2."""
