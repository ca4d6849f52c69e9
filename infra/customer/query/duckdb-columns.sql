  columns = {
    sequence: 'UBIGINT', eventId: 'UUID', timestamp: 'TIMESTAMPTZ', previousHash: 'VARCHAR', recordedBy: 'VARCHAR',
    organisation: 'STRUCT(id VARCHAR, name VARCHAR, entityType VARCHAR)',
    action: 'VARCHAR', type: 'VARCHAR',
    entity: 'STRUCT(id VARCHAR, name VARCHAR, entityType VARCHAR)',
    principal: 'STRUCT(id VARCHAR, name VARCHAR, entityType VARCHAR, email VARCHAR)',
    outcome: 'VARCHAR', reason: 'VARCHAR', parentEntity: 'JSON', subject: 'JSON', permission: 'JSON',
    before: 'JSON', after: 'JSON', clientType: 'VARCHAR', occurredAt: 'VARCHAR', context: 'JSON', payload: 'JSON', metadata: 'JSON'
  });
