from .forecast import Forecast as Forecast
