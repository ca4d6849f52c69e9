//! The statements with which a customer queries delivered objects, filled in for one destination: Amazon Athena, also for
//! Glue, and DuckDB. `infra/docs/querying.md` has them for BUCKET and PREFIX, where CI runs them.
//!
//! No statement guesses columns, because the events are what producers send. A table of objects that are not flat has one
//! column, the line, and a view takes the columns from it.

use std::{fmt::Write as _, time::Duration};

use crate::{
    destination::{Destination, KeyLayout, ObjectFormat, Rendering, Shape},
    format::{Column, ColumnKind},
};

/// The view of native lines in Athena, whose columns have the names of a flat object's.
const LINES_VIEW: &str = include_str!("../../../../infra/customer/query/athena-view.sql");
/// The view of native lines in DuckDB, from the options for columns on.
const LINES_COLUMNS: &str = include_str!("../../../../infra/customer/query/duckdb-columns.sql");
/// How long before a destination's creation its first events may have been recorded.
const LOOKBACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A statement, and the name of a file for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub name: &'static str,
    pub statement: String,
}

/// What the statements depend on.
struct Objects<'a> {
    bucket: &'a str,
    prefix: &'a str,
    layout: KeyLayout,
    rendering: Rendering,
    /// The first day that can have events.
    since: String,
}

/// Returns the statements for what `destination` delivers with its present settings.
#[must_use]
pub fn queries(destination: &Destination) -> Vec<Query> {
    let (year, month, day) = destination.created_at.minus(LOOKBACK).date();
    let settings = &destination.settings;
    let objects = Objects {
        bucket: destination.bucket.as_str(),
        prefix: settings.prefix.as_str(),
        layout: settings.layout,
        rendering: settings.rendering,
        since: format!("{year:04}-{month:02}-{day:02}"),
    };
    let view = objects.athena_view().map(|statement| Query { name: "athena-view.sql", statement });
    let mut queries = vec![Query { name: "athena-table.sql", statement: objects.athena_table() }];
    queries.extend(view);
    queries.push(Query { name: "duckdb.sql", statement: objects.duckdb() });
    queries
}

impl Objects<'_> {
    fn is_flat(&self) -> bool {
        self.rendering.shape == Shape::Flat
    }

    fn columns(&self) -> Vec<Column> {
        Rendering::columns(self.rendering.format)
            .into_iter()
            .filter(|column| self.is_flat() || column.name != "hash")
            .collect()
    }

    fn athena_table(&self) -> String {
        let mut table = String::from("CREATE EXTERNAL TABLE ");
        if self.is_flat() {
            table.push_str("annals_events (\n");
            let columns: Vec<String> = self
                .columns()
                .into_iter()
                .map(|Column { name, kind }| {
                    let kind = match kind {
                        ColumnKind::Number => "bigint",
                        ColumnKind::Flag => "boolean",
                        ColumnKind::Text | ColumnKind::Json => "string",
                    };
                    format!("  `{name}` {kind}")
                })
                .collect();
            table.extend([&columns.join(",\n"), "\n)\n"]);
        } else {
            table.push_str("annals_lines (line string)\n");
        }
        table.push_str(match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => "PARTITIONED BY (dt string, hour string)\n",
            KeyLayout::Wiremock => "PARTITIONED BY (dt string)\n",
        });
        table.push_str(if self.is_flat() {
            "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        } else {
            "ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\001' LINES TERMINATED BY '\\n'\nSTORED AS TEXTFILE\n"
        });
        let location = format!("s3://{}/{}", self.bucket, self.prefix);
        let (format, folder) = match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => ("yyyy-MM-dd", "dt=${dt}/hour=${hour}/"),
            KeyLayout::Wiremock => ("yyyy-MM/dd", "${dt}/"),
        };
        let since = match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => self.since.clone(),
            KeyLayout::Wiremock => format!("{}/{}", &self.since[..7], &self.since[8..]),
        };
        // Writing to a string does not fail.
        let _ = write!(
            table,
            "LOCATION {}\nTBLPROPERTIES (\n  'projection.enabled' = 'true',\n  'projection.dt.type' = 'date', \
             'projection.dt.format' = '{format}', 'projection.dt.range' = '{since},NOW',\n",
            quote(&location)
        );
        table.push_str(match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => {
                "  'projection.hour.type' = 'integer', 'projection.hour.range' = '0,23', 'projection.hour.digits' = '2',\n"
            }
            KeyLayout::Wiremock => "  'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',\n",
        });
        let _ = write!(table, "  'storage.location.template' = {}\n);\n", quote(&format!("{location}{folder}")));
        table
    }

    /// Returns the view that gives the lines of the table their columns. `None` if the table has them.
    fn athena_view(&self) -> Option<String> {
        if self.is_flat() {
            return None;
        }
        let partitions = match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => "dt, hour",
            KeyLayout::Wiremock => "dt",
        };
        if self.rendering.format == ObjectFormat::Native {
            return Some(LINES_VIEW.replace("dt, hour", partitions));
        }
        let mut view = String::from("CREATE VIEW annals_events AS\nSELECT\n");
        for Column { name, kind } in self.columns() {
            let path = format!("line, '$.{name}'");
            let _ = match kind {
                ColumnKind::Text => writeln!(view, "  json_extract_scalar({path}) AS \"{name}\","),
                ColumnKind::Number => writeln!(view, "  CAST(json_extract_scalar({path}) AS bigint) AS \"{name}\","),
                ColumnKind::Flag => writeln!(view, "  CAST(json_extract_scalar({path}) AS boolean) AS \"{name}\","),
                ColumnKind::Json => writeln!(view, "  json_format(json_extract({path})) AS \"{name}\","),
            };
        }
        let _ = write!(view, "  line, {partitions}\nFROM annals_lines;\n");
        Some(view)
    }

    fn duckdb(&self) -> String {
        let (folders, partitioning) = match self.layout {
            KeyLayout::Hive | KeyLayout::HiveRecorded => ("dt=*/hour=*/*.json*", "true"),
            KeyLayout::Wiremock => ("*/*/*.json*", "false"),
        };
        // In a pattern of DuckDB a bracket begins a set of characters.
        let files = format!("s3://{}/{}{folders}", self.bucket, self.prefix.replace('[', "[[]"));
        let mut view = format!(
            "CREATE VIEW events AS\nSELECT * FROM read_json({},\n  format = 'newline_delimited', hive_partitioning = \
             {partitioning}, maximum_object_size = 4194304,\n",
            quote(&files)
        );
        if self.rendering.is_native() {
            view.push_str(LINES_COLUMNS);
            return view;
        }
        let columns: Vec<String> = self
            .columns()
            .into_iter()
            .map(|Column { name, kind }| {
                let kind = match kind {
                    ColumnKind::Number => "BIGINT",
                    ColumnKind::Flag => "BOOLEAN",
                    ColumnKind::Json if !self.is_flat() => "JSON",
                    ColumnKind::Text | ColumnKind::Json => "VARCHAR",
                };
                format!("    \"{name}\": '{kind}'")
            })
            .collect();
        view.extend(["  columns = {\n", &columns.join(",\n"), "\n  });\n"]);
        view
    }
}

/// Returns `text` as a string of SQL.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../infra/docs/querying.md");

    fn objects(layout: KeyLayout, format: ObjectFormat, shape: Shape) -> Objects<'static> {
        let rendering = Rendering { format, shape };
        Objects { bucket: "BUCKET", prefix: "PREFIX/", layout, rendering, since: "2026-01-01".to_owned() }
    }

    #[test]
    fn the_document_has_the_statements() {
        let lines = objects(KeyLayout::Hive, ObjectFormat::Native, Shape::Native);
        let flat = objects(KeyLayout::Hive, ObjectFormat::Native, Shape::Flat);
        for (name, statement) in [
            ("duckdb.sql", lines.duckdb()),
            ("athena-table.sql", lines.athena_table()),
            ("athena-view.sql", lines.athena_view().unwrap()),
            ("duckdb-flat.sql", flat.duckdb()),
            ("athena-flat.sql", flat.athena_table()),
        ] {
            assert!(DOCUMENT.contains(&format!("```sql {name}\n{statement}```\n")), "{name} should be\n{statement}");
        }
        assert_eq!(flat.athena_view(), None);
    }

    #[test]
    fn a_prefix_is_quoted() {
        let objects =
            Objects { prefix: "it's [x]/", ..objects(KeyLayout::Wiremock, ObjectFormat::Native, Shape::Flat) };
        assert!(objects.duckdb().contains("read_json('s3://BUCKET/it''s [[]x]/*/*/*.json*',"));
        assert!(objects.athena_table().contains("LOCATION 's3://BUCKET/it''s [x]/'\n"));
    }

    #[test]
    fn each_format_has_statements_of_its_own() {
        let objects = objects(KeyLayout::Wiremock, ObjectFormat::CloudEvents, Shape::Native);
        let all = [objects.athena_table(), objects.athena_view().unwrap(), objects.duckdb()].join("\n");
        insta::assert_snapshot!(all, @r#"
        CREATE EXTERNAL TABLE annals_lines (line string)
        PARTITIONED BY (dt string)
        ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001' LINES TERMINATED BY '\n'
        STORED AS TEXTFILE
        LOCATION 's3://BUCKET/PREFIX/'
        TBLPROPERTIES (
          'projection.enabled' = 'true',
          'projection.dt.type' = 'date', 'projection.dt.format' = 'yyyy-MM/dd', 'projection.dt.range' = '2026-01/01,NOW',
          'projection.dt.interval' = '1', 'projection.dt.interval.unit' = 'DAYS',
          'storage.location.template' = 's3://BUCKET/PREFIX/${dt}/'
        );

        CREATE VIEW annals_events AS
        SELECT
          json_extract_scalar(line, '$.specversion') AS "specversion",
          json_extract_scalar(line, '$.id') AS "id",
          json_extract_scalar(line, '$.source') AS "source",
          json_extract_scalar(line, '$.type') AS "type",
          json_extract_scalar(line, '$.subject') AS "subject",
          json_extract_scalar(line, '$.time') AS "time",
          json_extract_scalar(line, '$.datacontenttype') AS "datacontenttype",
          json_extract_scalar(line, '$.sequence') AS "sequence",
          json_extract_scalar(line, '$.partitionkey') AS "partitionkey",
          json_extract_scalar(line, '$.recordedtime') AS "recordedtime",
          json_extract_scalar(line, '$.authtype') AS "authtype",
          json_extract_scalar(line, '$.authid') AS "authid",
          json_extract_scalar(line, '$.recordedby') AS "recordedby",
          json_format(json_extract(line, '$.data')) AS "data",
          line, dt
        FROM annals_lines;

        CREATE VIEW events AS
        SELECT * FROM read_json('s3://BUCKET/PREFIX/*/*/*.json*',
          format = 'newline_delimited', hive_partitioning = false, maximum_object_size = 4194304,
          columns = {
            "specversion": 'VARCHAR',
            "id": 'VARCHAR',
            "source": 'VARCHAR',
            "type": 'VARCHAR',
            "subject": 'VARCHAR',
            "time": 'VARCHAR',
            "datacontenttype": 'VARCHAR',
            "sequence": 'VARCHAR',
            "partitionkey": 'VARCHAR',
            "recordedtime": 'VARCHAR',
            "authtype": 'VARCHAR',
            "authid": 'VARCHAR',
            "recordedby": 'VARCHAR',
            "data": 'JSON'
          });
        "#);
    }
}
