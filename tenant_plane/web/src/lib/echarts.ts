// The parts of ECharts that are used; loaded after the page, by import().

import { BarChart, LineChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

// canvas, because the SVG renderer sets style attributes, which the content security policy forbids
use([BarChart, LineChart, GridComponent, TooltipComponent, CanvasRenderer]);

export { init };
